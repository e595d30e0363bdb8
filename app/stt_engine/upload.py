"""A request's body, bounded and in memory: the service runs on a read-only root, so nothing is spooled to disk."""

from __future__ import annotations

from fastapi import HTTPException, Request
from python_multipart import create_form_parser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import File
from starlette.requests import ClientDisconnect


async def body(request: Request, limit: int) -> bytes:
    """The bytes sent, raw or as the one file of a form; 413 above ``limit`` bytes, 400 for a form without one file."""
    too_large = HTTPException(413, f"more than the {limit} bytes that one request may send")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise too_large
    received = bytearray()
    try:
        async for chunk in request.stream():
            received += chunk
            if len(received) > limit:
                raise too_large
    except ClientDisconnect as error:
        raise HTTPException(400, "the connection closed before all bytes were sent") from error
    content_type = request.headers.get("content-type", "")
    return file_of(content_type, bytes(received)) if content_type.startswith("multipart/") else bytes(received)


def file_of(content_type: str, form: bytes) -> bytes:
    """The one file of a multipart form; anything else is answered with 400."""
    files: list[File] = []
    try:
        parser = create_form_parser(
            {"Content-Type": content_type.encode("latin-1")}, None, files.append,
            config={"MAX_MEMORY_FILE_SIZE": len(form) + 1},
        )
        parser.write(form)
        parser.finalize()
    except FormParserError as error:
        raise HTTPException(400, f"not a readable form: {error}") from error
    if len(files) != 1:
        raise HTTPException(400, f"a form with {len(files)} files; send exactly one")
    files[0].file_object.seek(0)
    return files[0].file_object.read()
