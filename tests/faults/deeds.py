"""What a client does: it makes an influencer, and then something with it, or with an older one."""

import base64
import random
from collections.abc import Awaitable, Callable, Mapping
from io import BytesIO

from PIL import Image

from schemas.ids import Prefix
from tests.faults.chance import SeededIds
from tests.faults.client import Answer, Client, Wish
from tests.faults.rules import broken
from tests.faults.system import System

REPEATED_SHARE = 0.1
REFUSED_SHARE = 0.1
CONTENT_SHARE = 0.3
CANCELED_CONTENT_SHARE = 0.2
DRAFT_SHARE = 0.05
SEEDED_SHARE = 0.08

Deed = Callable[[str, str], Awaitable[None]]


class Deeds:
    """One client's; `created` and `deleting` are shared with others."""

    def __init__(
        self,
        system: System,
        client: Client,
        chance: random.Random,
        ids: SeededIds,
        created: list[tuple[str, str]],
        deleting: set[str],
    ) -> None:
        self._client = client
        self._chance = chance
        self._ids = ids
        self._created = created
        self._deleting = deleting
        self._project = f"/v1/projects/{system.project_id}"
        self._influencers = f"{self._project}/influencers"
        self._mine: list[str] = []
        self._deeds: list[tuple[float, Deed]] = [
            (0.15, self._cancel),
            (0.10, self._rename),
            (0.05, self._delete),
            (0.05, self._clone),
            (0.05, self._link_an_upload),
            (0.05, self._change_what_is_stale),
            (0.05, self._render_an_older_one),
            (0.02, self._create_again),
        ]

    async def make_one(self) -> tuple[str, str]:
        """The influencer's id and its job's, "" if there is none."""
        if self._chance.random() < REFUSED_SHARE:
            await self._ask_for_nonsense()
        choice = self._chance.random()
        if choice < DRAFT_SHARE:
            return await self._draft_and_render()
        if choice < DRAFT_SHARE + SEEDED_SHARE:
            return await self._create_from_an_upload()
        return await self.create()

    async def go_on(self, influencer_id: str, job_id: str) -> None:
        if not job_id:
            return None
        if self._chance.random() < CONTENT_SHARE:
            await self._want_a_picture(influencer_id)
        choice = self._chance.random()
        for share, deed in self._deeds:
            if choice < share:
                return await deed(influencer_id, job_id)
            choice -= share
        return None

    async def create(
        self, body: Mapping[str, object] | None = None, key: str | None = None
    ) -> tuple[str, str]:
        """As `body` says, with that idempotency key."""
        body = body or self._new_body()
        influencer_id = str(body["influencerId"])
        answer = await self._start(self._influencers, body, influencer_id, key=key)
        return influencer_id, self._started(answer, influencer_id)

    async def rename(self, influencer_id: str, name: str, base_url: str = "") -> None:
        """And reads what was written."""
        path = f"/v1/influencers/{influencer_id}"
        wish = self._change_of(
            influencer_id, "PATCH", path, {"name": name}, learns=("sequence",), base_url=base_url
        )
        written = await self._client.ask(wish)
        read = await self._client.read(path)
        if not (written.is_success and read and read.is_success):
            return
        if read.json["sequence"] < written.json["sequence"]:
            detail = f"written at {written.json['sequence']}, read at {read.json['sequence']}"
            self._client.report(broken("read-before-write", path, detail))

    def _new_body(self, **more: object) -> dict[str, object]:
        influencer_id = self._ids.new(Prefix.INFLUENCER)
        return {"name": "Under fire", "influencerId": influencer_id, "vibe": "calm", **more}

    async def _start(
        self,
        path: str,
        body: Mapping[str, object] | None,
        influencer_id: str,
        *,
        key: str | None = None,
        allowed: tuple[int, ...] = (),
    ) -> Answer:
        """Asks for a job of that influencer, now and then twice."""
        wish = Wish(
            "POST",
            path,
            key or self._new_key(),
            body,
            {"influencerId": influencer_id},
            learns=("jobId",),
            changes=True,
            allowed=allowed,
        )
        return await self._ask_once_or_twice(wish)

    async def _ask_once_or_twice(self, wish: Wish) -> Answer:
        answer = await self._client.ask(wish)
        if answer.is_success and self._chance.random() < REPEATED_SHARE:
            await self._client.ask_again(wish, answer)
        return answer

    def _started(self, answer: Answer, influencer_id: str) -> str:
        job_id = str(answer.json["jobId"]) if answer.is_success else ""
        if job_id:
            self._created.append((influencer_id, job_id))
            self._mine.append(influencer_id)
        return job_id

    async def _draft_and_render(self) -> tuple[str, str]:
        body = self._new_body()
        influencer_id = str(body["influencerId"])
        wish = self._change_of(influencer_id, "POST", f"{self._influencers}?draft=true", body)
        await self._ask_once_or_twice(wish)
        answer = await self._start(f"/v1/influencers/{influencer_id}/render", None, influencer_id)
        return influencer_id, self._started(answer, influencer_id)

    async def _create_from_an_upload(self) -> tuple[str, str]:
        return await self.create(
            self._new_body(referenceImages={"assetIds": [await self._upload()]})
        )

    async def _upload(self) -> str:
        """A picture of its own; the asset's id."""
        size = self._chance.randrange(8, 24), self._chance.randrange(8, 24)
        encoded = BytesIO()
        Image.new("RGB", size, self._chance.randrange(1 << 24)).save(encoded, "PNG")
        body = {
            "kind": "reference_image",
            "mimeType": "image/png",
            "dataBase64": base64.b64encode(encoded.getvalue()).decode(),
        }
        wish = Wish("POST", f"{self._project}/media", self._new_key(), body, learns=("assetId",))
        return str((await self._ask_once_or_twice(wish)).json["assetId"])

    async def _want_a_picture(self, influencer_id: str) -> None:
        """Of an influencer that was accepted just now, and isn't rendered yet."""
        body = {"influencerId": influencer_id, "brief": "Under fire"}
        wish = Wish(
            "POST",
            f"{self._project}/content",
            self._new_key(),
            body,
            learns=("jobId",),
            changes=True,
        )
        answer = await self._ask_once_or_twice(wish)
        if not answer.is_success:
            return
        job_id = answer.json["jobId"]
        self._created.append((influencer_id, job_id))
        if self._chance.random() < CANCELED_CONTENT_SHARE:
            await self._client.ask(self._cancellation(job_id, {}))

    async def _ask_for_nonsense(self) -> None:
        body = {"influencerId": self._ids.new(Prefix.INFLUENCER), "nmae": "Nobody"}
        await self._refused(
            Wish(
                "POST",
                self._influencers,
                self._new_key(),
                body,
                {"influencerId": body["influencerId"]},
                allowed=(422,),
            )
        )

    async def _create_again(self, influencer_id: str, job_id: str) -> None:
        """An id that is taken, with a key of its own."""
        body = self._new_body() | {"influencerId": influencer_id}
        names = {"influencerId": influencer_id}
        key = self._new_key()
        await self._refused(Wish("POST", self._influencers, key, body, names, allowed=(409,)))

    async def _change_what_is_stale(self, influencer_id: str, job_id: str) -> None:
        path = f"/v1/influencers/{influencer_id}"
        wish = self._change_of(
            influencer_id,
            "PATCH",
            path,
            {"name": "Too late"},
            headers={"If-Match": '"999999"'},
            allowed=(412,),
        )
        await self._refused(wish)

    async def _refused(self, wish: Wish) -> None:
        answer = await self._client.ask(wish)
        if answer.is_success:
            self._client.report(broken("answer-is-wrong", wish.told, f"{answer.body!r}"))

    async def _cancel(self, influencer_id: str, job_id: str) -> None:
        await self._client.ask(self._cancellation(job_id, {"influencerId": influencer_id}))

    def _cancellation(self, job_id: str, names: Mapping[str, str]) -> Wish:
        return Wish(
            "POST",
            f"/v1/jobs/{job_id}/cancel",
            self._new_key(),
            names=names,
            changes=True,
            allowed=(409,),
        )

    async def _rename(self, influencer_id: str, job_id: str) -> None:
        await self.rename(influencer_id, f"Under fire {self._chance.random()}")

    async def _delete(self, influencer_id: str, job_id: str) -> None:
        self._mine.remove(influencer_id)
        self._deleting.add(influencer_id)
        path = f"/v1/influencers/{influencer_id}"
        await self._client.ask(self._change_of(influencer_id, "DELETE", path, None))

    async def _clone(self, influencer_id: str, job_id: str) -> None:
        clone_id = self._ids.new(Prefix.INFLUENCER)
        body = {"name": "Again", "newInfluencerId": clone_id}
        answer = await self._start(f"/v1/influencers/{influencer_id}/clone", body, clone_id)
        self._started(answer, clone_id)

    async def _link_an_upload(self, influencer_id: str, job_id: str) -> None:
        path = f"/v1/influencers/{influencer_id}/reference-images"
        body = {"assetIds": [await self._upload()]}
        await self._client.ask(self._change_of(influencer_id, "POST", path, body))

    async def _render_an_older_one(self, influencer_id: str, job_id: str) -> None:
        """Refused while its job runs."""
        older = self._chance.choice(self._mine)
        path = f"/v1/influencers/{older}/render"
        answer = await self._start(path, None, older, allowed=(409,))
        if answer.is_success:
            self._created.append((older, str(answer.json["jobId"])))

    def _change_of(
        self,
        influencer_id: str,
        method: str,
        path: str,
        body: Mapping[str, object] | None,
        *,
        learns: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
        allowed: tuple[int, ...] = (),
        base_url: str = "",
    ) -> Wish:
        """That leads to an event of this influencer."""
        return Wish(
            method,
            path,
            self._new_key(),
            body,
            {"influencerId": influencer_id},
            learns=learns,
            changes=True,
            allowed=allowed,
            headers=headers or {},
            base_url=base_url,
        )

    def _new_key(self) -> str:
        return self._ids.new(Prefix.REQUEST)
