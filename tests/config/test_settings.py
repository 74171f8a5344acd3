"""Settings: what is refused, and how a start with a wrong setting ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import SETTINGS, SettingsError, read_settings
from tests.processes import ROOT, command, environment, free_port


def test_defaults_serve_on_loopback_with_the_embedded_store() -> None:
    settings = read_settings({})
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.store == "sqlite:///var/scoreline.db"


def test_a_host_that_sets_port_is_listened_to_from_outside() -> None:
    assert read_settings({"PORT": "5000"}).host == "0.0.0.0"
    assert read_settings({"PORT": "5000", "SCORELINE_HOST": "::1"}).host == "::1"


def test_an_empty_variable_means_the_default() -> None:
    assert read_settings({setting.name: "" for setting in SETTINGS}) == read_settings({})


def test_origins_are_separated_by_commas() -> None:
    text = "https://app.example.com, http://localhost:5173,http://[::1]:80800 ,"
    assert read_settings({"SCORELINE_CORS_ORIGINS": text}).cors_origins == {
        "https://app.example.com",
        "http://localhost:5173",
        "http://[::1]:80800",
    }


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", "\ufeff{}", "\n {} \n"])
def test_white_space_around_the_administrators_key_is_ignored(around: str) -> None:
    given = {"SCORELINE_ADMIN_KEY": around.format("aKey")}
    assert read_settings(given).admin_key == "aKey"


WRONG = [
    ("SCORELINE_STORE", "postgres://x/y"),
    ("SCORELINE_STORE", "sqlite://relative.db"),
    ("SCORELINE_STORE", "mongodb://"),
    ("SCORELINE_HOST", "a b"),
    ("SCORELINE_HOST", "127.0.0.1:80"),
    ("SCORELINE_HOST", ":"),
    ("SCORELINE_HOST", "a:b:c"),
    ("PORT", "0"),
    ("PORT", "65536"),
    ("PORT", "http"),
    ("PORT", "8_0"),
    ("WEB_CONCURRENCY", "-1"),
    ("SCORELINE_THREADS", "1.5"),
    ("SCORELINE_ADMIN_KEY", "two words"),
    ("SCORELINE_ADMIN_KEY", "a=b"),
    ("SCORELINE_ADMIN_KEY", "two\nlines"),
    ("SCORELINE_ADMIN_KEY", "\n"),
    ("SCORELINE_MAX_BODY_BYTES", "1M"),
    ("SCORELINE_URL_PREFIX", "traces"),
    ("SCORELINE_URL_PREFIX", "/traces/"),
    ("SCORELINE_LOG_LEVEL", "loud"),
    ("SCORELINE_RATE_LIMIT", "600"),
    ("SCORELINE_RATE_LIMIT", "0/second"),
    ("SCORELINE_RATE_LIMIT", "-1/second"),
    ("SCORELINE_RATE_LIMIT", "600/day"),
    ("SCORELINE_RATE_LIMIT", "1.5/second"),
    ("SCORELINE_RATE_LIMIT_STORE", "localhost:6379"),
    ("SCORELINE_RATE_LIMIT_STORE", "redis://"),
    ("SCORELINE_TRUSTED_PROXIES", "true"),
    ("SCORELINE_CORS_ORIGINS", "*"),
    ("SCORELINE_CORS_ORIGINS", "null"),
    ("SCORELINE_CORS_ORIGINS", "app.example.com"),
    ("SCORELINE_CORS_ORIGINS", "https://app.example.com/"),
    ("SCORELINE_CORS_ORIGINS", "https://*.example.com"),
    ("SCORELINE_CORS_ORIGINS", "https://App.example.com"),
    ("SCORELINE_CORS_ORIGINS", "https://a.example https://b.example"),
    ("SCORELINE_CORS_ORIGINS", "https://a.example:443"),
    ("SCORELINE_CORS_ORIGINS", "http://a.example:80,http://b.example"),
    ("SCORELINE_MAX_BODY", "1000"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_setting_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} "):
        read_settings({name: value})


def test_a_refusal_shows_no_secret() -> None:
    for name, value in (
        ("SCORELINE_ADMIN_KEY", "hush hush"),
        ("SCORELINE_STORE", "x://u:hush@h"),
        ("SCORELINE_RATE_LIMIT_STORE", "x://u:hush@h"),
    ):
        with pytest.raises(SettingsError) as refused:
            read_settings({name: value})
        assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *WRONG[3:6],
        ("SCORELINE_STORE", "mongodb://h:notaport/x"),
        ("SCORELINE_STORE", "sqlite:////"),
        ("SCORELINE_PRICES", "no-such-file.toml"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_line_and_code_2(
    tmp_path: Path, name: str, value: str
) -> None:
    environ = environment(PORT=str(free_port())) | {name: value}
    for program in (
        command("serve"),
        [
            sys.executable,
            "-m",
            "gunicorn",
            "--config",
            str(ROOT / "config" / "gunicorn.py"),
            "app:create_app()",
        ],
    ):
        ended = subprocess.run(
            program, check=False, cwd=tmp_path, env=environ, capture_output=True, timeout=30
        )
        lines = [line for line in ended.stderr.decode().splitlines() if line]
        assert ended.returncode == 2, ended.stderr
        assert len(lines) == 1, lines
        assert lines[0].startswith("scoreline: ")
        assert b"Traceback" not in ended.stdout + ended.stderr
