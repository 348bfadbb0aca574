"""What every page shares: who is asking, paper or live, refreshable parts, and how an expected failure is told."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.generic import TemplateView, View

from accounts.domain.statuses import AccountMode
from accounts.models import User
from polyhub.lib.clock import SystemClock
from polyhub.lib.errors import AppError

MODE_KEY = "mode"


def mode_of(request: HttpRequest) -> AccountMode:
    """Paper or live: what the person chose last; paper until they choose."""
    chosen = request.session.get(MODE_KEY, AccountMode.PAPER.value) if hasattr(request, "session") else ""
    return AccountMode.LIVE if chosen == AccountMode.LIVE else AccountMode.PAPER


def is_partial(request: HttpRequest) -> bool:
    """The page itself asked for a piece of it."""
    return request.headers.get("HX-Request") == "true"


class Owned(LoginRequiredMixin, View):
    """A page of a signed-in person. Everything is looked up from `self.user`, so what is foreign is not found."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return self._sign_in(request)
        try:
            return super().dispatch(request, *args, **kwargs)
        except AppError as error:
            return self.told(error)

    @property
    def user(self) -> User:
        return cast(User, self.request.user)

    @property
    def mode(self) -> AccountMode:
        return mode_of(self.request)

    @property
    def now(self) -> datetime:
        """The time of this request, read once."""
        now: datetime | None = getattr(self, "_now", None)
        if now is None:
            now = self._now = SystemClock().now()
        return now

    def told(self, error: AppError) -> HttpResponseBase:
        """An expected failure in words: the page's own error, or a note on the page that asked."""
        if error.http_status == 404:
            raise Http404(error.message) from error
        if is_partial(self.request):
            return note(self.request, error.message, status=error.http_status)
        context = {"title": "That did not work", "message": error.message, "code": error.code}
        return render(self.request, "pages/problem.html", context, status=error.http_status)

    def done(self, message: str, *, to: str) -> HttpResponseBase:
        """After an action: say so and show the page again."""
        messages.success(self.request, message)
        if is_partial(self.request):
            return HttpResponse(status=204, headers={"HX-Redirect": to})
        return redirect(to)

    def back(self, default: str) -> str:
        """The page of ours the action came from."""
        came_from = self.request.POST.get("next", "")
        # HX-Redirect goes to the browser as it is, and browsers drop tabs: "/<tab>/evil.example" is another site.
        is_ours = came_from.startswith("/") and url_has_allowed_host_and_scheme(came_from, allowed_hosts=None)
        return came_from if is_ours and came_from.isprintable() else default

    def _sign_in(self, request: HttpRequest) -> HttpResponseBase:
        response = self.handle_no_permission()
        if is_partial(request):
            # The session ended under an open page: load the sign-in page, do not paste it into the middle.
            return HttpResponse(status=204, headers={"HX-Redirect": response.headers["Location"]})
        return response


class Page(Owned, TemplateView):
    """A page whose `parts` are refreshed on their own: `?part=NAME` answers only that template."""

    parts: Mapping[str, str] = {}

    def get_template_names(self) -> list[str]:
        part = self.request.GET.get("part", "")
        if part and is_partial(self.request):
            if part not in self.parts:
                raise Http404(f"There is no part {part!r}.")
            return [self.parts[part]]
        return super().get_template_names()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**{"now": self.now, "mode": self.mode, "url": self.request.path, **kwargs})


def note(request: HttpRequest, message: str, *, status: int, tone: str = "danger") -> HttpResponse:
    """A short note in the corner of the page that asked."""
    response = render(request, "partials/note.html", {"message": message, "tone": tone}, status=status)
    response.headers["HX-Retarget"] = "#notes"
    response.headers["HX-Reswap"] = "beforeend"
    return response


def page_of(request: HttpRequest, rows: Any, *, size: int = 50) -> Any:
    """One page of rows; a page number out of range is the nearest page."""
    return Paginator(rows, size).get_page(request.GET.get("page"))


def kept(request: HttpRequest) -> str:
    """The query string without what belongs to one view of it, for links to other pages."""
    query = request.GET.copy()
    for name in ("page", "part"):
        query.pop(name, None)
    return query.urlencode()
