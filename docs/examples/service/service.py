"""A service with one operation, `measure`: put your work there. Start it with `uvicorn service:app --port 9000`.

It keeps files and tasks in memory; after a restart the orchestrator sends them again.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

WHO = {"service": "meters", "version": "1"}  # change the version whenever results may change
ROWS = {"type": "integer", "minimum": 1, "maximum": 1000, "default": 24}
MEASURE = {"name": "measure", "version": "1", "parameters": {"properties": {"rows": ROWS}}, "writes": ["measured.csv"]}
app, workers = FastAPI(), ThreadPoolExecutor(2)
files: dict[str, bytes] = {}
tasks: dict[str, dict[str, Any]] = {}


def measure(inputs: dict[str, bytes], params: dict[str, Any]) -> dict[str, bytes]:
    """Return the outputs by name, from the inputs by name and the parameters."""
    rows = [f"{hour},{0.2 + hour % 24 / 100:.2f}\n" for hour in range(params.get("rows", ROWS["default"]))]
    return {"measured.csv": ("hour,energy_kwh\n" + "".join(rows)).encode()}


def keep(content: bytes) -> str:
    checksum = hashlib.sha256(content).hexdigest()
    files[checksum] = content
    return checksum


def run(task: dict[str, Any], asked: dict[str, Any]) -> None:
    try:
        inputs = {file["path"]: files[file["sha256"]] for file in asked["inputs"]}
        task["outputs"] = [
            {"protocol": "http", "path": path, "format": path.rpartition(".")[2], "bytes": len(content)}
            | {"sha256": (checksum := keep(content)), "uri": f"/data/{checksum}"}
            for path, content in measure(inputs, asked["parameters"]).items()
        ]
        task["state"] = "complete"
    except Exception as error:
        task |= {"state": "failed", "error": {"kind": "error", "message": str(error) or type(error).__name__}}


def refuse(message: str, status: int = 400) -> JSONResponse:
    return JSONResponse({"kind": "bad_input", "message": message}, status)


@app.get("/health")
def health() -> dict[str, Any]:
    running = sum(task["state"] == "running" for task in tasks.values())
    return {"status": "healthy", **WHO, "operations": [MEASURE], "running": running, "capacity": 2}


@app.api_route("/data/{checksum}", methods=["GET", "HEAD"])
def send(checksum: str) -> Response:
    return Response(files[checksum]) if checksum in files else refuse("no such file", 404)


@app.put("/data/{checksum}")
async def take(checksum: str, request: Request) -> Response:
    content = await request.body()
    if hashlib.sha256(content).hexdigest() != checksum:
        return refuse("the content has another SHA-256")
    keep(content)
    return Response(status_code=201)


@app.post("/control/execute")
def execute(asked: dict[str, Any]) -> Any:
    if (asked["operation"], asked["version"]) != (MEASURE["name"], MEASURE["version"]):
        return refuse("only version 1 of measure is offered")
    task = tasks.get(asked["task"])
    if task is None or (task["state"] in ("failed", "cancelled") and task["attempt"] < asked["attempt"]):
        known = {name: asked[name] for name in ("task", "operation", "keys", "attempt")}
        task = tasks[asked["task"]] = WHO | known | {"state": "running"}
        workers.submit(run, task, asked)
    return task


@app.get("/control/status/{task}")
@app.get("/control/output/{task}")
def tell(task: str) -> Any:
    return tasks.get(task) or refuse("no such task", 404)


@app.post("/control/cancel/{task}")
def cancel(task: str) -> Any:
    return tell(task)  # this work ends within a moment; end longer work, and set its state to "cancelled"
