"""Runs to report on: made-up figures over small images in memory, so that nothing has to move for a page."""

from collections.abc import Sequence
from html.parser import HTMLParser

from edgelift.bundle.attribution import Asker
from edgelift.bundle.lock import BundleLock
from edgelift.delivery.receipt import DeliveryReceipt, Proof, Verdict
from edgelift.oci.digest import Digest
from edgelift.oci.transfer import Transfer
from edgelift.report.model import Problem, RunReport, Stage, Step, Timing, Verb, report_images, with_problems
from edgelift.sizes import count
from tests.bundle.asked import lock_of
from tests.bundle.content import GZIP, MemoryContent, noise

BEGUN = 1_760_000_000.0  # seconds since 1970
_WORKERS = 4
_EMPTY = frozenset({"meta", "br"})


def lock_with(count: int) -> BundleLock:
    """`count` small images that ten packs ask for, every third of which shares a layer."""
    content = MemoryContent()
    shared = content.add(noise(900, 1), GZIP)
    asked = []
    for number in range(count):
        own = content.add(noise(200 + 37 * (number % 50), 100 + number), GZIP)
        layers = [shared, own] if number % 3 == 0 else [own]
        image = content.add_image(f"registry.example/team-{number % 7}/service-{number:03}:1.{number}", layers)
        asked.append((image, (Asker("apps" if number % 2 else "infra", f"pack-{number % 10}"),)))
    return lock_of(*asked)


def run_over(
    lock: BundleLock,
    *,
    failed: Sequence[int] = (),
    earlier: Sequence[int] = (),
    verdicts: dict[int, Verdict] | None = None,
    reason: str = "503 from the registry",
) -> RunReport:
    """A run over `lock` by four workers; the pulls of `failed` fail, those of `earlier` were done before."""
    steps, clocks = dict[tuple[Verb, str], Step](), [BEGUN + 3.0] * _WORKERS
    for number, image in enumerate(lock.images):
        worker, seconds = number % _WORKERS, 0.5 + (number * 7 % 13) / 4
        timing = Timing(started=clocks[worker], ended=clocks[worker] + seconds, attempts=1 + number % 2)
        if number in earlier:
            timing = Timing(started=BEGUN - 600, ended=BEGUN - 580)
            steps["pull", image.reference] = Step(
                "earlier", timing, Transfer(moved=1, moved_bytes=image.size), "mirror"
            )
            continue
        clocks[worker] += seconds
        state = "failed" if number in failed else "done"
        moved = Transfer(moved=1, moved_bytes=image.size * 100_000)
        steps["pull", image.reference] = Step("failed" if state == "failed" else "done", timing, moved, "mirror")
    pulled = max(clocks)
    stages = [Stage("plan", BEGUN, BEGUN + 3), Stage("pull", BEGUN + 3, pulled, bool(failed))]
    ended = pulled
    if not failed:
        clocks = [pulled] * _WORKERS
        for number, image in enumerate(lock.images):
            seconds = 0.3 + (number * 5 % 11) / 5
            worker = number % _WORKERS
            timing = Timing(started=clocks[worker], ended=clocks[worker] + seconds)
            clocks[worker] += seconds
            steps["push", image.reference] = Step("done", timing, Transfer(moved=1, moved_bytes=image.size * 90_000))
        ended = max(clocks)
        stages.append(Stage("push", pulled, ended))
    problems = tuple(Problem(lock.images[number].reference, reason, "run it again") for number in failed)
    expected: tuple[Verb, ...] = ("pull", "push")
    return RunReport(
        name="harbour",
        flow="sync-site",
        run="sync harbour (1234)",
        started=BEGUN,
        ended=ended + 1,
        is_failed=bool(failed),
        outcome="Failed" if failed else "Completed",
        place="mirror.example:5000/edge",
        problems=problems,
        headline=Problem("", f"{count(len(failed), 'image')} could not be pulled", "run it again") if failed else None,
        stages=tuple(stages),
        images=report_images(lock.images, expected, with_problems(steps, problems, lock.images, expected)),
        lock=lock,
        receipt=None if failed else receipt_of(lock, verdicts or {}),
    )


def receipt_of(lock: BundleLock, verdicts: dict[int, Verdict]) -> DeliveryReceipt:
    """What was proved of `lock`: all of it, but for those whose `verdicts` say something else."""
    proofs = tuple(
        Proof(
            reference=image.reference,
            target=f"mirror.example:5000/edge/{image.reference}",
            verdict=verdicts.get(number, "ok"),
            expected=image.descriptor.digest,
            reason="" if number not in verdicts else "not as it should be",
        )
        for number, image in enumerate(lock.images)
    )
    return DeliveryReceipt(
        registry="mirror.example:5000/edge",
        bundle="harbour",
        lock=Digest.of(b"lock"),
        deep=False,
        checked_at="2026-01-01T00:00:00Z",
        proofs=proofs,
    )


class Page(HTMLParser):
    """A page as a browser sees it: its elements with their attributes, and its text; wrong nesting fails."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open_elements: list[str] = []

    @classmethod
    def of(cls, page: bytes) -> "Page":
        """Read `page` to its end, where nothing may be open any more."""
        found = cls()
        found.feed(page.decode())
        found.close()
        assert found.open_elements == []
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self.elements.append((tag, dict(attrs)))
        if tag not in _EMPTY:
            self.open_elements.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element that holds nothing."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """An element ends, and it is the last that began."""
        assert self.open_elements.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text between elements."""
        self.texts.append(data)


SECTIONS = ("What went wrong", "Summary", "Transfers", "Throughput", "Validation", "What costs how much")
