"""What the browser tests need beside Python packages: a Chromium, and axe-core. `make test` runs this.

The headless shell is asked for from the system's package manager, as it takes a quarter less of the processor than the
whole browser; else a Chromium that is there is used, else Playwright's own download.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

AXE = "axe-core@4.14.1"
AXE_FILE = Path(sys.prefix) / "axe" / "axe.min.js"
SHELL = "chromium-headless-shell"
CHROMIUM = (SHELL, "chromium", "chromium-browser", "google-chrome")


def chromium_path() -> str | None:
    """The system's Chromium; None leaves the choice to Playwright's own download."""
    return next((found for name in CHROMIUM if (found := shutil.which(name))), None)


def install_chromium() -> None:
    """Find or fetch a browser. Raises SystemExit with what to do."""
    if not (shutil.which(SHELL) and shutil.which("openssl")):
        _apt("update", "-qq")
    if not shutil.which("openssl"):  # makes a certificate for the test of a Space's frame
        _apt("install", "-y", "-qq", "openssl")
    if shutil.which(SHELL):
        return
    for package in (SHELL, "chromium"):
        _apt("install", "-y", "-qq", package)
        if chromium_path():
            return
    if _playwright_has_one():
        return
    fetched = subprocess.run([sys.executable, "-m", "playwright", "install", "--with-deps", "chromium"], check=False)
    if fetched.returncode:
        raise SystemExit("The browser tests need Chromium: install the package chromium, then say make test again.")


def _apt(*words: str) -> None:
    """Ask the package manager, where there is one and we may; what it cannot do is seen by what is missing then."""
    if shutil.which("apt-get") and os.geteuid() == 0:
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", *words], env=environment, check=False, capture_output=True)


def _playwright_has_one() -> bool:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return Path(playwright.chromium.executable_path).exists()


def install_axe() -> None:
    """Fetch axe-core from npm, once. Raises SystemExit with what to do."""
    if AXE_FILE.exists():
        return
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("The accessibility test needs axe-core from npm: install Node.js, then say make test again.")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([npm, "pack", "--silent", AXE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as packed:
            script = packed.extractfile("package/axe.min.js")
            assert script is not None
            AXE_FILE.parent.mkdir(exist_ok=True)
            AXE_FILE.write_bytes(script.read())


if __name__ == "__main__":
    install_chromium()
    install_axe()
