"""Encoding and decoding of small pictures."""

from io import BytesIO

from PIL import Image


def decoded(png: bytes) -> Image.Image:
    image = Image.open(BytesIO(png), formats=["PNG"])
    image.load()
    return image


def encoded(image: Image.Image, image_format: str = "PNG") -> bytes:
    target = BytesIO()
    image.save(target, image_format)
    return target.getvalue()
