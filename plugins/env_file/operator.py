"""Changes keys of an env file as a transaction, in any DAG.

```python
switch = EnvFileOperator(
    task_id="switch",
    env_file="/srv/app/config/app.env",
    changes={"MODEL_VERSION": "{{ ti.xcom_pull('train') }}", "OLD_KEY": None},
    why="run {{ run_id }} passed its gates",
)
```

Comments, order, quoting, mode and owner stay; what others write meanwhile is kept; a backup and a line of the history
are left. `./pipeline env` shows and rolls back the changes of the deployment's own env file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from include.core.errors import BadInputError
from include.core.settings import get_settings
from include.domains import DOMAINS
from include.env_file import EnvFile, Reason, current_user, shown_changes
from plugins.steps.context import TASK_DEFAULTS, plain_errors

if TYPE_CHECKING:
    from airflow.sdk import Context


class EnvFileOperator(BaseOperator):
    """Sets keys of an env file, or removes them: all at once, or none.

    Args:
        changes: New values by key, templates; None removes the key.
        why: What the file's history says of it, a template.
        env_file: The file, a template. Default: the deployment's, `GROUNDTRUTH_ENV_FILE`.
    """

    template_fields = ("changes", "why", "env_file")

    def __init__(
        self, *, changes: Mapping[str, str | None], why: str, env_file: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**TASK_DEFAULTS | kwargs)
        self.changes, self.why, self.env_file = dict(changes), why, env_file

    def execute(self, context: Context) -> dict[str, str | None]:
        """Change the file; returns the entry of its history (None: it said so already) and the changed lines.

        They go into the log and through XCom, so only values of keys that a domain sets appear in them.
        """
        run = context["dag_run"]
        env_file = EnvFile(Path(self.env_file) if self.env_file else get_settings().env_file)
        reason = Reason(by=f"{current_user()}, task {self.task_id}", why=self.why, run=f"{run.dag_id}/{run.run_id}")
        with plain_errors(self.log):
            for key, value in self.changes.items():
                if not isinstance(value, (str, type(None))):
                    raise BadInputError(f"changes: {key} must be text, or None to remove it; got {value!r}")
            entry = env_file.update(self.changes, reason)
        if entry is None:
            self.log.info("%s says so already", env_file.path)
            return {"entry": None, "diff": ""}
        own = {name for domain in DOMAINS if domain.env_keys for name in domain.env_keys.names}
        diff = shown_changes(entry, own)
        self.log.info("%s changed (entry %s):\n%s", env_file.path, entry.id, diff)
        return {"entry": entry.id, "diff": diff}
