"""The pages of the school."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from clarion import inbox, outbox
from clarion.models import Delivery
from school.classbook import ENTRIES, Entry
from school.demo.people import ACCOUNTS, PASSWORD
from school.forms import SendForm
from school.models import Notice, SchoolClass, User
from school.sending import take_back

LATEST = 6  # notices on the home page

View = Callable[..., HttpResponse]


def teachers_only(view: View) -> View:
    @login_required
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.may_send:
            raise PermissionDenied("Only teachers can send notices.")
        return view(request, *args, **kwargs)

    return guarded


class LoginView(auth_views.LoginView):
    """Sign in. While developing, the demo accounts are one click away."""

    template_name = "school/login.html"
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        demo = {"accounts": ACCOUNTS, "password": PASSWORD} if settings.DEBUG else None
        return super().get_context_data(demo=demo, **kwargs)


@require_safe
@login_required
def home(request: HttpRequest) -> HttpResponse:
    """What is new, and the part of the school that is one's own."""
    context = {
        "latest": inbox.page(request.user, limit=LATEST).items,
        "latest_most": LATEST,
        "mail_waiting": _mail_waiting(request.user),
        **_OWN_PART[request.user.role](request.user),
    }
    if request.user.is_staff:
        context["numbers"] = _numbers()
    return render(request, "school/home.html", context)


def _mail_waiting(user: User) -> int:
    """How many notifications wait for the end of a batch or the next digest."""
    rows = Delivery.objects.filter(recipient=user, channel="email", outcome="pending")
    later = Q(due_at__gt=timezone.now()) | Q(leader__due_at__gt=timezone.now())
    return rows.filter(later).exclude(window="").count()


def _of_student(student: User) -> dict[str, Any]:
    classes = student.classes.select_related("teacher").prefetch_related("students")
    return {"classes": classes, "guardians": student.guardians.order_by("first_name")}


def _of_teacher(teacher: User) -> dict[str, Any]:
    return {
        "classes": teacher.led_classes.prefetch_related("students"),
        "sent": _with_readers(teacher.notices.order_by("-created_at", "-pk"))[:LATEST],
    }


def _of_guardian(guardian: User) -> dict[str, Any]:
    children = guardian.children.order_by("first_name").prefetch_related("classes__teacher")
    return {"children": children}


_OWN_PART = {
    User.Role.STUDENT: _of_student,
    User.Role.TEACHER: _of_teacher,
    User.Role.GUARDIAN: _of_guardian,
}


def _with_readers(notices: QuerySet[Notice]) -> QuerySet[Notice]:
    rows = Q(event__notifications__removed_at__isnull=True)
    return notices.select_related("event").annotate(
        reached=Count("event__notifications", filter=rows),
        readers=Count(
            "event__notifications", filter=rows & Q(event__notifications__read_at__isnull=False)
        ),
    )


def _numbers() -> dict[str, int]:
    counted = (
        User.objects.filter(is_active=True).values_list("role").annotate(Count("pk")).order_by()
    )
    return {f"{User.Role(role).label}s": count for role, count in counted} | {
        "Classes": SchoolClass.objects.count()
    }


@require_http_methods(["GET", "HEAD", "POST"])
@teachers_only
def send(request: HttpRequest) -> HttpResponse:
    """Write a notice. GET fills in what the address says: ?to_kind=person&to_person=sam."""
    if request.method != "POST":
        form = SendForm(author=request.user, initial=request.GET.dict())
        return _send_page(request, form)
    form = SendForm(request.POST, author=request.user)
    notice = form.send() if form.is_valid() else None
    if notice is None:
        return _send_page(request, form, status=400)
    messages.success(request, f"“{notice.title}” went to {notice.audience}.")
    return redirect("send")


def _send_page(request: HttpRequest, form: SendForm, status: int = 200) -> HttpResponse:
    people = User.objects.filter(is_active=True).exclude(pk=request.user.pk).order_by("username")
    context = {"form": form, "people": people[:1000]}
    return render(request, "school/send.html", context, status=status)


@require_safe
@login_required
def notice(request: HttpRequest, pk: int) -> HttpResponse:
    """A notice in full, for its author and those who got it. Opening it is reading it."""
    found = get_object_or_404(_with_readers(Notice.objects.select_related("author")), pk=pk)
    if found.author != request.user:
        _read(request.user, found)
    return render(request, "school/notice.html", {"notice": found})


def _read(reader: User, notice: Notice) -> None:
    """Mark the reader's row as read. Raise `Http404` when it was not for them."""
    event = notice.event
    if event is None:
        raise Http404
    if event.is_public:
        inbox.mark_read(reader, [f"a{event.pk}"])
        return
    row = event.notifications.filter(recipient=reader, removed_at__isnull=True).first()
    if row is None:
        raise Http404
    if row.read_at is None:
        inbox.mark_read(reader, [row.pk])


@require_POST
@teachers_only
def take_back_notice(request: HttpRequest, pk: int) -> HttpResponse:
    """The author thinks better of it: it goes from every inbox and screen."""
    found = get_object_or_404(Notice.objects.select_related("event"), pk=pk, author=request.user)
    take_back(found)
    messages.success(request, f"“{found.title}” was taken back. It is gone from every inbox.")
    return redirect("home")


@require_http_methods(["GET", "HEAD", "POST"])
@teachers_only
def class_book(request: HttpRequest, name: str = "") -> HttpResponse:
    """Write into the class book: its pages are all shown, and one is posted."""
    pages = {entry.name: entry() for entry in ENTRIES.values()}
    if request.method != "POST":
        return _class_book_page(request, pages)
    if name not in ENTRIES:
        raise Http404
    entry = pages[name] = ENTRIES[name](request.POST)
    if not entry.is_valid():
        return _class_book_page(request, pages, status=400)
    messages.success(
        request, f"Written into the class book, and told to {entry.write(request.user)}."
    )
    return redirect("class-book")


def _class_book_page(
    request: HttpRequest, pages: dict[str, Entry], status: int = 200
) -> HttpResponse:
    return render(request, "school/class-book.html", {"pages": pages.values()}, status=status)


@require_POST
@login_required
def mail_now(request: HttpRequest) -> HttpResponse:
    """What waits for a digest or the end of a batch goes out at once."""
    outbox.flush(request.user, channel="email")
    messages.success(request, "What waited is on its way to your mailbox.")
    return redirect("home")
