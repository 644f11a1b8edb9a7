"""The checker: reads the log and the database and says where they break their promises.

It stands outside of what it checks: nothing here imports the service's own code. How events are
read, folded and compared is written anew from the contract, so that a fault in the service can't
hide itself.
"""
