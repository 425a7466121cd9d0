"""Pages of a web service: rendered from templates, with assets of its own and of packages, and nothing from anywhere else.

Every answer carries a policy that lets a browser run and load only what this server serves, and no script or style that is
written into a page. Assets are read once; their addresses have a digest, so browsers may keep them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, MutableMapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, PrefixLoader, StrictUndefined
from jinja2.loaders import PackageLoader
from starlette.responses import HTMLResponse, Response

from services.pages.words import LANGUAGE_COOKIE, LANGUAGE_FIELD, LANGUAGES, Wording, language_of

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

ASSETS_AT: Final = "/assets"
LANGUAGE_KEPT_S: Final = 400 * 86_400
_REFUSED: Final = 400
HTMX: Final = "htmx.js"
_HTMX_PACKAGE: Final = ("django_htmx", "static/django_htmx/htmx-2.min.js")
_KINDS: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
# Of a referrer nobody else hears; with none at all, browsers would not say where a form comes from.
_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'{targets}; base-uri 'none'; frame-ancestors 'none'"
)


class PageSite:
    """The pages of one service. `packages`: of its pages; each may have `templates`, `assets` and `words.yaml`.

    default: language of visitors who want none of ours. form_targets: origins that an answer to a form may lead to, such as
    the issuer's at a logout.
    """

    def __init__(self, packages: Iterable[str], default: str, form_targets: Iterable[str] = ()) -> None:
        names = (__package__, *packages)
        self.default = default
        self.wording = Wording(file for name in names if (file := files(name) / "words.yaml").is_file())
        self.policy = _POLICY.format(targets="".join(f" {one}" for one in form_targets))
        self.assets = {HTMX: _of_package(*_HTMX_PACKAGE)}
        for name in names:
            self.assets |= {file.name: file.read_bytes() for file in _folder(name, "assets")}
        self.digest = hashlib.sha256(b"".join(self.assets[name] for name in sorted(self.assets))).hexdigest()[:16]
        loaders = {name.rpartition(".")[0].rpartition(".")[2] or name: PackageLoader(name) for name in packages}
        self.templates = Environment(
            loader=PrefixLoader({"base": PackageLoader(__package__), **loaders}), autoescape=True,
            undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip

    def install(self, app: FastAPI) -> None:
        """Give an application the assets, and the headers of every answer."""
        app.add_middleware(PageHeaders, policy=self.policy)
        app.add_api_route(f"{ASSETS_AT}/{{digest}}/{{name}}", self.asset, include_in_schema=False)

    async def asset(self, digest: str, name: str) -> Response:
        """An asset; 404 for one that there is not, or that is of another release."""
        content, kind = self.assets.get(name), _KINDS.get(Path(name).suffix)
        if content is None or kind is None or digest != self.digest:
            return Response(status_code=404, headers={"Cache-Control": "no-store"})
        return Response(content, 200, {"Cache-Control": "public, max-age=31536000, immutable", "Content-Type": kind})

    def page(self, request: Request, template: str, status: int = 200, *, path: str = "", **given: Any) -> Response:
        """A page, or a part of one, in the visitor's language; one that he has chosen just now is kept.

        path: where the page is to be had again, if not at the request's.
        """
        language = language_of(request, self.default)
        # A refusal repeats nothing of the address, which may hold what somebody has typed: its links are relative.
        at, asked = ("", request.url.replace(query="")) if status >= _REFUSED else (request.url.path, request.url)
        others = [(one, str(asked.include_query_params(**{LANGUAGE_FIELD: one}).query)) for one in LANGUAGES]
        text = self.templates.get_template(template).render(
            say=lambda key, **more: self.wording.say(language, key, **more), language=language, languages=others,
            path=path or at, asset=lambda name: f"{ASSETS_AT}/{self.digest}/{name}", **given,
        )  # fmt: skip
        answer = HTMLResponse(
            text, status, {"Cache-Control": "no-store", "Content-Language": language, "Vary": "Cookie"}
        )
        if request.query_params.get(LANGUAGE_FIELD) == language:
            answer.set_cookie(LANGUAGE_COOKIE, language, LANGUAGE_KEPT_S, secure=True, httponly=True, samesite="lax")
        return answer

    def words(self, request: Request) -> Callable[..., str]:
        """What says words to a visitor."""
        language = language_of(request, self.default)
        return lambda key, **given: self.wording.say(language, key, **given)


class PageHeaders:
    """Puts the policy and its neighbours on every answer. ASGI middleware."""

    def __init__(self, app: Callable[..., Any], policy: str) -> None:
        self.app = app
        pairs = {"content-security-policy": policy, **_HEADERS}
        self.headers = [(name.encode(), value.encode()) for name, value in pairs.items()]

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Callable[..., Any], send: Callable[..., Any]
    ) -> None:
        """Pass the request on."""

        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self.headers]
            await send(message)

        await self.app(scope, receive, sending if scope["type"] == "http" else send)


def _folder(package: str, name: str) -> Iterable[Traversable]:
    folder = files(package) / name
    return [file for file in folder.iterdir() if Path(file.name).suffix in _KINDS] if folder.is_dir() else []


def _of_package(package: str, path: str) -> bytes:
    """A file of an installed package, which is not imported."""
    spec = find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    assert places, f"{package} is installed with Tidegauge"
    return (Path(next(iter(places))) / path).read_bytes()
