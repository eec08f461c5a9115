"""A pipeline: a definition, with the contract of each of its steps."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, create_model
from pydantic.fields import FieldInfo

from include.core.contracts import Artifact, RunParams, Step, StepParams, Window, imported
from include.core.definitions.model import Definition, RecordFiles, StepSpec
from include.core.errors import BadInputError, sentences
from include.core.exchange import Producer
from include.core.feeds import FeedReader
from include.core.run_folder import Records, StepInfo
from include.core.tables import check_table
from include.core.windows import IntervalWindow

INPUT_FILES = "files"
"""The parameter that holds a run's input files, of pipelines that take any number of them."""


@dataclass(frozen=True)
class PipelineStep:
    """A step as a pipeline uses it: its contract, and how the definition runs it."""

    step: Step
    spec: StepSpec


@dataclass(frozen=True)
class Pipeline:
    """A definition whose steps are bound to their contracts.

    Args:
        definition: What the JSON file says.
        contracts: The contracts of our own steps, by id.
        window: How the window of a run follows from its parameters.
        aliases: Former names of parameters, and what they are called now.
        triggers: Names of the assets whose updates start a run.
        producers: Which parameter, where it names a run or nothing, stands for which artifact of another pipeline.
        check: `module:function` that refuses parameters which no step would refuse alone; called with all of them.
        complete: `module:function` of parameters as stated that returns them with those that follow from them.
        check_files: `module:function` of the folder of a run's input files and its parameters, which refuses files that
            a later step would refuse.
        check_inputs: As `check_files`, but called by the command line alone, before Airflow starts: reads the beginning
            of input files as the first step will.
        check_stated: `module:function` of what a user states on the command line, which refuses what leaves a decision
            open.
        feed_reader: How files of feeds are read, where its runs may be days of a feed.
        short_name: A further name for the command line.
        defaults: Parameters of its runs where they state no others: those of its schedule.
        invents: `module:function` of a run's checked parameters and of those that its schedule states; returns what the
            run would invent instead of reading it, or None.
    """

    definition: Definition
    contracts: Mapping[str, Step]
    window: IntervalWindow = field(default_factory=IntervalWindow)
    aliases: Mapping[str, str] = field(default_factory=dict)
    triggers: tuple[str, ...] = ()
    producers: Mapping[str, Producer] = field(default_factory=dict)
    check: str | None = None
    complete: str | None = None
    check_files: str | None = None
    check_inputs: str | None = None
    check_stated: str | None = None
    feed_reader: FeedReader | None = None
    short_name: str | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    invents: str | None = None

    @property
    def names(self) -> set[str]:
        """The names by which the command line knows it."""
        definition = self.definition
        names = {definition.pipeline, definition.dag_id, definition.workflow_name}
        return names | {self.short_name} if self.short_name else names

    @property
    def starts_itself(self) -> bool:
        """Whether a schedule or an asset starts it; otherwise users alone do."""
        return bool(self.definition.schedule or self.triggers)

    @property
    def starts(self) -> str:
        """When it runs, in words: its schedule, or the assets that it waits for."""
        definition = self.definition
        if definition.schedule:
            return (
                definition.schedule if definition.timezone == "UTC" else f"{definition.schedule} {definition.timezone}"
            )
        triggers = self.triggers or definition.triggers
        return f"after {' or '.join(triggers)}" if triggers else "on request"

    @cached_property
    def steps(self) -> tuple[PipelineStep, ...]:
        """The steps in an order that respects their dependencies."""
        return tuple(PipelineStep(self._contract(spec), spec) for spec in self.definition.steps)

    def _contract(self, spec: StepSpec) -> Step:
        own = self.contracts.get(spec.id)
        if own is None:
            return foreign_step(spec)
        return replace(own, title=spec.name, description=spec.description)

    @cached_property
    def plan(self) -> list[StepInfo]:
        """The steps as users know them: several tasks may be one step."""
        infos: dict[str, StepInfo] = {}
        for item in self.steps:
            shown = item.step.group or item.step
            info = StepInfo(id=shown.id, title=shown.title, description=shown.description, parts=[])
            info = infos.setdefault(shown.id, info)
            if item.step.group is not None:
                info.parts.append(item.step.id)
        return list(infos.values())

    def __getitem__(self, step_id: str) -> PipelineStep:
        """A step by its id."""
        return next(item for item in self.steps if item.step.id == step_id)

    @cached_property
    def params(self) -> dict[str, FieldInfo]:
        """The run's parameters: what its steps take, in their order, input files, and what every run takes."""
        fields: dict[str, FieldInfo] = {}
        for item in self.steps:
            for name, info in item.step.params.model_fields.items():
                fields.setdefault(name, info)
        if self.definition.sources:
            files = FieldInfo(annotation=tuple[str, ...], default=(), description="Files for this run.")
            fields.setdefault(INPUT_FILES, files)
        for name, info in RunParams.model_fields.items():
            fields.setdefault(name, info)
        return fields

    @cached_property
    def file_params(self) -> list[str]:
        """Parameters that each name one input file, to be staged into the run."""
        extras = {name: field.json_schema_extra for name, field in self.params.items()}
        return [name for name, extra in extras.items() if isinstance(extra, dict) and extra.get("file")]

    def rename_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters under the names that they have now.

        Raises:
            BadInputError: One is given under both its names.
        """
        renamed: dict[str, Any] = {}
        for name, value in params.items():
            current = self.aliases.get(name, name)
            current = current if current in self.params and name not in self.params else name
            if current != name and params.get(current):
                raise BadInputError(f"{name}: is a former name of {current}, which is given too; give one of them")
            if value or current not in renamed:  # a form sends the empty default under the present name
                renamed[current] = value
        return renamed

    def complete_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters under their present names, with those that follow from others (a zone from a format).

        Raises:
            BadInputError: One is given under both its names, or nothing can follow from one.
        """
        renamed = {**self.defaults, **self.rename_params(params)}
        return dict(imported(self.complete)(renamed)) if self.complete else renamed

    def check_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Check a run's parameters before anything runs.

        Args:
            params: Values by name; those that are left out take their defaults.

        Returns:
            Every parameter of the pipeline, as JSON-able values.

        Raises:
            BadInputError: Names every unknown parameter and every impossible value at once.
        """
        values = self.check_values(params)
        if self.check:
            imported(self.check)(values)
        return values

    def check_values(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Check each of a run's parameters; as `check_params`, but without what only a complete run can tell.

        Raises:
            BadInputError: Names every unknown parameter and every impossible value at once.
        """
        params = self.complete_params(params)
        faults = [_unknown(name, self.params) for name in params if name not in self.params]
        files = params.get(INPUT_FILES) or []
        if not isinstance(files, (list, tuple)) or not all(isinstance(file, str) for file in files):
            faults.append(f"{INPUT_FILES}: must be a list of files (got {files!r})")
            files = []
        values: dict[str, Any] = {INPUT_FILES: list(files)} if INPUT_FILES in self.params else {}
        models: list[type[StepParams]] = [*(item.step.params for item in self.steps), RunParams]
        for model in dict.fromkeys(models):
            try:
                checked = model.model_validate({k: v for k, v in params.items() if k in model.model_fields})
                values.update(checked.model_dump(mode="json"))
            except ValidationError as error:
                faults += [sentence for sentence in sentences(error) if sentence not in faults]
        provided = {Path(path).name for path in values.get(INPUT_FILES, [])}
        missing = [name for name in self.definition.sources if name not in provided]
        faults += [f"{INPUT_FILES}: the pipeline needs a file named {name}" for name in missing]
        if faults:
            raise BadInputError("; ".join(faults))
        return values


def _unknown(name: str, names: Collection[str]) -> str:
    close = difflib.get_close_matches(name, sorted(names), n=1)
    hint = f"did you mean {close[0]}?" if close else f"the parameters are {', '.join(sorted(names))}"
    return f"{name}: no such parameter; {hint}"


def foreign_step(spec: StepSpec) -> Step:
    """Return the contract of a step that is not registered: what its definition declares."""
    fields: dict[str, Any] = {
        name: (
            param.annotation,
            Field(param.default, description=param.description, json_schema_extra={"section": "Parameters"}),
        )
        for name, param in spec.params.items()
    }
    rejected = spec.records.rejected if spec.records else None
    declared = {artifact.path: artifact for artifact in spec.declared}
    writes = (declared.get(path, Artifact(path)) for path in spec.outputs)
    return Step(
        id=spec.id,
        title=spec.name,
        description=spec.description or f"Writes {', '.join(spec.outputs)}",
        version=_version(spec),
        params=create_model("PipelineParams", __base__=Window, **fields) if fields else Window,
        function="",
        reads=tuple(Artifact(path) for path in spec.inputs),
        writes=tuple(replace(artifact, may_be_empty=artifact.path == rejected) for artifact in writes),
        records=partial(_count, spec.records) if spec.records else None,
    )


def _version(spec: StepSpec) -> str:
    """Return the version of a foreign step: whatever else it is to do, an accepted result is of the older version."""
    parts = (spec.declared, spec.source, dict(spec.environment), spec.network, dict(spec.parameters))
    stated = [part for part in parts if part]
    if not stated:
        return "1"
    return f"1-{hashlib.sha256(repr(stated).encode()).hexdigest()[:8]}"


def _count(names: RecordFiles, files: Path) -> Records:
    read, accepted = (check_table(files / name, name, None) for name in (names.read, names.accepted))
    rejected = check_table(files / names.rejected, names.rejected, None) if names.rejected else 0
    reasons = {"rejected by the step": rejected} if rejected else {}
    return Records(read=read, accepted=accepted, rejected=rejected, rejected_by_reason=reasons)
