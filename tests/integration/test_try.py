import time, json
from pathlib import Path
from edgelift.site import *
from tests.images import make_image_set
from edgelift.demo.content import make_image
from tests.simulators.registry import RegistrySimulator

def test_it(worker, tmp_path):
    t=time.monotonic()
    def lap(w):
        nonlocal t
        n=time.monotonic(); print(f"{w}: {n-t:.1f}", flush=True); t=n
    images = make_image_set(20)
    with RegistrySimulator(tmp_path/"s") as source, RegistrySimulator(tmp_path/"t") as target:
        source.put_image(*images)
        site = EdgeSite(name="harbour", source=ContentSource(images=tuple(f"{source.host}/{i.repository}:{i.tag}" for i in images)),
          target=TargetSettings(registry=f"{target.host}/edge"), access=RegistryAccess(docker_config=False))
        source.deny("/sample/image-(03|07|11)/blobs/")
        lap("set up")
        d = worker.deploy(site); lap("deploy")
        run = worker.start(d, output=str(tmp_path/"out"), store=str(tmp_path/"store"), site=site.model_dump(mode="json"))
        s = worker.wait(run); lap("run"); print(s)
        for n,r in worker.task_runs(run,1,23).items(): print(n, r.state, r.attempts)
        lap("rows")
        source.heal(); source.forget_requests()
        worker.retry(run); s=worker.wait(run); lap("retry"); print(s)
        for n,r in worker.task_runs(run,2,47).items(): print(n, r.state, r.attempts)
        lap("rows")
        for x in source.requests: print(x.method, x.path)
