"""A headless Chromium for tests, and what it saw."""

import contextlib
import json
import os
import shutil
import time
from pathlib import Path

import pytest

_BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome')
_QUIET = (
    'headless', 'no-sandbox', 'disable-gpu', 'disable-quic', 'no-first-run', 'disable-background-networking',
    'disable-component-update', 'disable-sync', 'hide-scrollbars',
)  # fmt: skip


def find_programs() -> tuple[str, str]:
    """The browser and its driver, of the variables CHROME and CHROMEDRIVER or of the path; else the test is skipped."""
    browser = os.environ.get('CHROME') or next(filter(None, map(shutil.which, _BROWSERS)), None)
    driver = os.environ.get('CHROMEDRIVER') or shutil.which('chromedriver')
    if not browser or not driver:
        missing = ' and no '.join(name for name, found in (('browser', browser), ('chromedriver', driver)) if not found)
        pytest.skip(f'no {missing}: apt install chromium chromium-driver, or set CHROME and CHROMEDRIVER')
    return browser, driver


class Browser:
    """A window, by Selenium's driver.

    Attributes:
        driver: a `selenium.webdriver.Chrome`.
    """

    def __init__(self, driver):
        self.driver = driver

    def resize(self, width: int, height: int) -> None:
        """Gives the window the size of a screen; a narrow one is a phone's."""
        size = {'width': width, 'height': height, 'deviceScaleFactor': 1, 'mobile': width < 600}
        self.driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', size)

    def open(self, page: Path) -> None:
        """Opens a page and waits until its plots are made."""
        self.driver.get(page.absolute().as_uri())
        self.wait(lambda: self.run("return document.documentElement.dataset.ready === 'yes'"))

    def run(self, script: str, *arguments):
        """What JavaScript returns."""
        return self.driver.execute_script(script, *arguments)

    def all(self, selector: str) -> list:
        """Elements by CSS selector."""
        return self.driver.find_elements('css selector', selector)

    def one(self, selector: str):
        """The first element by CSS selector."""
        return self.driver.find_element('css selector', selector)

    def texts(self, selector: str) -> list[str]:
        """The text content of elements, whether or not they are seen."""
        return self.run('return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)', selector)

    def wait(self, holds) -> None:
        """Waits until something holds."""
        for _ in range(300):
            if holds():
                return
            time.sleep(0.1)
        raise AssertionError(f'waited in vain; console: {self.console()}')

    def console(self) -> list[str]:
        """What was written to the console since the last call."""
        return [entry['message'] for entry in self.driver.get_log('browser')]

    def requests(self) -> list[str]:
        """The addresses that were asked for since the last call."""
        messages = (json.loads(entry['message'])['message'] for entry in self.driver.get_log('performance'))
        return [m['params']['request']['url'] for m in messages if m['method'] == 'Network.requestWillBeSent']


@contextlib.contextmanager
def open_browser(profile: Path):
    """Within it, a Browser with an empty profile, of 1440 x 900 pixels."""
    webdriver = pytest.importorskip('selenium.webdriver', reason='selenium is not installed; the extra test has it')
    browser, driver = find_programs()
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in (*_QUIET, f'user-data-dir={profile}'):
        options.add_argument(f'--{argument}')
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL', 'performance': 'ALL'})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        found = Browser(chrome)
        found.resize(1440, 900)
        yield found
    finally:
        chrome.quit()
