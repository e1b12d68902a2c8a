"""Debian's Chromium, driven as W3C WebDriver says, and through the commands that Chromium's driver adds for its DevTools."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.clients.programs import program

TAB, ENTER, ESCAPE = "\ue004", "\ue007", "\ue00c"
_ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--lang=en-US"]


class Browser:
    """One window."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        """Speak through *session* to the WebDriver session at *url*."""
        self._session = session
        self._url = url

    async def ask(self, command: str, body: object = None) -> Any:  # noqa: ANN401  JSON
        method = "GET" if body is None else "POST"
        async with self._session.request(method, f"{self._url}/{command}", json=body) as response:
            document = await response.json()
        assert response.status == 200, document["value"]["message"]
        return document["value"]

    async def run(self, script: str, *arguments: object) -> Any:  # noqa: ANN401  JSON
        """Run the body of a function in the page, and return what that returns."""
        return await self.ask("execute/sync", {"script": script, "args": list(arguments)})

    async def until(self, expression: str, *arguments: object) -> Any:  # noqa: ANN401  JSON
        """Wait until an expression is true in the page, and return its value."""
        look = f"const found = (function() {{ return {expression}; }}).apply(null, given); found ? done(found) : setTimeout(look, 20);"
        return await self.run(f"const given = arguments; return new Promise(done => (function look() {{ {look} }})())", *arguments)

    async def press(self, keys: str) -> None:
        """Press each of *keys*, wherever the focus is."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        await self.ask("actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    async def devtools(self, command: str, **parameters: object) -> Any:  # noqa: ANN401  JSON
        return await self.ask("goog/cdp/execute", {"cmd": command, "params": parameters})

    async def look(self, width: int, height: int = 900, scheme: str = "light") -> None:
        """Show the page on a screen that is so wide and high, in CSS pixels."""
        await self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        await self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def screenshot(self, path: Path) -> None:
        found = await self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=False)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(found["data"]))

    async def complaints(self) -> list[str]:
        """List what the console was told since the last call, but for what the browser says of its own first page."""
        told = [entry["message"] for entry in await self.ask("se/log", {"type": "browser"})]
        return [each for each in told if not each.startswith("chrome://")]


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Browser]:
    """Run a browser whose profile is in *folder*."""
    chromium, driver = program("chromium", "chromium"), program("chromedriver", "chromium-driver")
    process = await asyncio.create_subprocess_exec(driver, "--port=0", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            while b"successfully on port" not in (line := await process.stdout.readline()):
                assert line, "chromedriver ended"
        port = int(line.rstrip(b".\n ").rpartition(b" ")[2])
        url = f"http://127.0.0.1:{port}/session"
        options = {"binary": str(chromium), "args": [*_ARGUMENTS, f"--user-data-dir={folder}"]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        async with aiohttp.ClientSession() as session:
            async with session.post(url, json={"capabilities": {"alwaysMatch": wanted}}) as response:
                document = await response.json()
            assert response.status == 200, document["value"]["message"]
            url = f"{url}/{document['value']['sessionId']}"
            try:
                yield Browser(session, url)
            finally:
                await session.delete(url)
    finally:
        process.terminate()
        await process.wait()
