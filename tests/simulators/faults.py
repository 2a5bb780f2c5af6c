"""What can be made to go wrong with a request; `fault_layer.py` decides with which one."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Scope, Send

from tests.simulators.fault_layer import Call, Fault, Rest, Rule


def answer(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """Answers in the registry's place, before the request's body is read."""

    async def fault(rule: Rule, call: Call, rest: Rest) -> None:
        if not rule.strike():
            return await rest(call)
        return await Response(body, status, headers)(call.scope, call.receive, call.send)

    return fault


def refuse_larger(largest: int) -> Fault:
    """Answers 413, as a proxy does, to requests with more than `largest` bytes."""

    async def fault(rule: Rule, call: Call, rest: Rest) -> None:
        if int(call.exchange.headers.get("content-length", "0")) <= largest or not rule.strike():
            return await rest(call)
        page = Response("<html><h1>413 Request Entity Too Large</h1></html>", 413, {"Content-Type": "text/html"})
        return await page(call.scope, call.receive, call.send)

    return fault


def answer_by(make: Callable[[Request], Response]) -> Fault:
    """Answers with what `make` gives for the request."""

    async def fault(rule: Rule, call: Call, rest: Rest) -> None:
        if not rule.strike():
            return await rest(call)
        return await make(Request(call.scope))(call.scope, call.receive, call.send)

    return fault


def cut(after: int, *, reset: bool) -> Fault:
    """Ends the connection after so many bytes of the body: of the request's where it is an upload."""

    async def fault(rule: Rule, call: Call, rest: Rest) -> None:
        end = call.connection.reset if reset else call.connection.close
        if call.exchange.method in ("PUT", "PATCH", "POST"):
            await _cut_request(rule, call, rest, after, end)
        else:
            await rest(replace(call, send=_cut_response(rule, call.send, after, end)))

    return fault


def flip(at: int) -> Fault:
    """Turns over one bit of the response's body."""

    async def fault(rule: Rule, call: Call, rest: Rest) -> None:
        position = 0

        async def send(message: Message) -> None:
            nonlocal position
            body = bytearray(message.get("body", b""))
            if position <= at < position + len(body) and rule.strike():
                body[at - position] ^= 1
                message = {**message, "body": bytes(body)}
            position += len(body)
            await call.send(message)

        await rest(replace(call, send=send))

    return fault


def stall(after: int | None, seconds: float | None, is_released: Callable[[], bool]) -> Fault:
    """Sends nothing more after so many bytes of the body (None: not even the headers), until released or gone."""

    async def wait(call: Call) -> None:
        deadline = time.monotonic() + (seconds if seconds is not None else 600)
        while time.monotonic() < deadline and not is_released() and not call.connection.is_closed:
            await asyncio.sleep(0.005)

    async def fault(rule: Rule, call: Call, rest: Rest) -> None:
        if after is None:
            if rule.strike():
                await wait(call)
            return await rest(call)
        return await rest(replace(call, send=_pausing(rule, call, after, wait)))

    return fault


def drip(after: int, piece: int, pause: float, is_released: Callable[[], bool]) -> Fault:
    """After so many bytes of the body sends the rest in pieces of `piece` bytes with `pause` seconds between them."""

    async def fault(rule: Rule, call: Call, rest: Rest) -> None:
        if not rule.strike():
            return await rest(call)
        position = 0

        async def send(message: Message) -> None:
            nonlocal position
            body = message.get("body", b"")
            for part in _parts(body, after - position, piece):
                await call.send({**message, "body": part, "more_body": True})
                position += len(part)
                if position > after and not is_released():
                    await asyncio.sleep(pause)
                if call.connection.is_closed:
                    return
            if not body or not message.get("more_body", False):
                await call.send({**message, "body": b""} if body else message)

        return await rest(replace(call, send=send))

    return fault


def _parts(body: bytes, whole: int, piece: int) -> Iterator[bytes]:
    """`body` in pieces, after the first `whole` bytes at once."""
    begin = min(max(whole, 0), len(body))
    if begin:
        yield body[:begin]
    yield from (body[start : start + piece] for start in range(begin, len(body), piece))


def hold_answer(is_released: Callable[[], bool]) -> Fault:
    """Lets the registry do its work, and keeps the answer until released or the client has gone."""

    async def fault(rule: Rule, call: Call, rest: Rest) -> None:
        if not rule.strike():
            return await rest(call)
        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)

        await rest(replace(call, send=hold))
        while not is_released() and not call.connection.is_closed:
            await asyncio.sleep(0.005)
        for message in held:
            await call.send(message)
        return None

    return fault


def lose_response() -> Fault:
    """Lets the registry do its work, then resets the connection in place of the answer."""

    async def fault(rule: Rule, call: Call, rest: Rest) -> None:
        if not rule.strike():
            return await rest(call)
        await rest(replace(call, send=_swallow))
        return await call.connection.reset()

    return fault


def change_request(change: Callable[[Scope], Scope]) -> Fault:
    """Shows the registry another request than the client sent."""

    async def fault(rule: Rule, call: Call, rest: Rest) -> None:
        await rest(replace(call, scope=change(call.scope)) if rule.strike() else call)

    return fault


def change_answer(change: Callable[[int, dict[str, str]], tuple[int, dict[str, str]]]) -> Fault:
    """Changes status and headers of the answer; header names are lower-case."""

    async def fault(rule: Rule, call: Call, rest: Rest) -> None:
        if not rule.strike():
            return await rest(call)

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.decode(): value.decode("latin-1") for name, value in message["headers"]}
                status, headers = change(message["status"], given)
                raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
                message = {**message, "status": status, "headers": raw}
            await call.send(message)

        return await rest(replace(call, send=send))

    return fault


def afterwards(act: Callable[[], Any]) -> Fault:
    """Does something once the answer is complete, before the client can ask again."""

    async def fault(rule: Rule, call: Call, rest: Rest) -> None:
        async def send(message: Message) -> None:
            is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if is_last and rule.strike():
                await asyncio.to_thread(act)
            await call.send(message)

        await rest(replace(call, send=send))

    return fault


async def _cut_request(rule: Rule, call: Call, rest: Rest, after: int, end: Callable[[], Awaitable[None]]) -> None:
    """The registry first sees the client go, and settles, then the client sees the connection end: no race is left."""
    left, struck = after, False

    async def receive() -> Message:
        nonlocal left, struck
        if struck:
            return {"type": "http.disconnect"}
        message = await call.receive()
        body = message.get("body", b"")
        if len(body) <= left or not rule.strike():
            left -= len(body)
            return message
        struck = True
        return {"type": "http.request", "body": body[:left], "more_body": True}

    async def send(message: Message) -> None:
        if not struck:
            await call.send(message)

    await rest(replace(call, receive=receive, send=send))
    if struck:
        await end()


def _cut_response(rule: Rule, send: Send, after: int, end: Callable[[], Awaitable[None]]) -> Send:
    left, struck = after, False

    async def cutting(message: Message) -> None:
        nonlocal left, struck
        if struck:
            return
        body = message.get("body", b"")
        if len(body) > left and rule.strike():
            struck = True
            await send({**message, "body": body[:left], "more_body": True})
            await end()
            return
        left -= len(body)
        await send(message)

    return cutting


def _pausing(rule: Rule, call: Call, after: int, wait: Callable[[Call], Awaitable[None]]) -> Send:
    left = after

    async def send(message: Message) -> None:
        nonlocal left
        body = message.get("body", b"")
        if left >= 0 and len(body) > left and rule.strike():
            await call.send({**message, "body": body[:left], "more_body": True})
            message, left = {**message, "body": body[left:]}, -1
            await wait(call)
        left -= len(body)
        await call.send(message)

    return send


async def _swallow(_: Message) -> None:
    """Loses a message."""
