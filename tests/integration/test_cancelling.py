"""Cancel in Prefect's UI, on a real server with a real worker: a run ends soon, and a retry goes on from there."""

from contextlib import suppress

from tests.integration.prefect_server import PrefectServer, wait_for
from tests.integration.sites import Site

MANIFEST = 10_000  # bytes; more than any has, and they come by way of partial files as well


def test_a_cancelled_run_ends_by_itself_and_can_be_retried(worker: PrefectServer, site: Site) -> None:
    """Downloads that would take minutes stop at once, what has arrived is kept, and a retry asks for the rest alone."""
    site.source.drip(piece=2000, pause=0.5, times=None)
    run = worker.start(worker.deploy(site.settings()), site.places)
    wait_for(lambda: max(arrived(site).values(), default=0) > MANIFEST, "part of a blob", worker.logs["worker"])

    worker.cancel(run)
    ended = worker.wait(run)

    # Prefect kills what does not end after 30 s; whoever is killed does not say that it was told to end.
    said = f"Execution of flow run '{run}' was terminated."
    assert (ended.type, said in worker.logs["worker"].read_text()) == ("CANCELLED", True)
    kept = arrived(site)
    assert kept

    site.source.heal()
    site.forget_requests()
    worker.retry(run)

    assert worker.wait(run).type == "COMPLETED"
    assert site.receipt["whole"] is True
    asked = {each.path.rpartition("/")[2]: each.headers.get("range") for each in site.source.requests}
    assert {f"sha256:{name}": asked[f"sha256:{name}"] for name in kept} == {
        f"sha256:{name}": f"bytes={size}-" for name, size in kept.items()
    }


def arrived(site: Site) -> dict[str, int]:
    """The partial blobs in the store, by the hex of their digests, and how many bytes of each there are."""
    sizes = dict[str, int]()
    for path in (site.folder / "store" / "partial").glob("sha256-*"):
        with suppress(FileNotFoundError):  # it is complete by now
            sizes[path.name.removeprefix("sha256-")] = path.stat().st_size
    return {name: size for name, size in sizes.items() if size}
