"""Shows every fault of every pipeline definition in the UI, as one import error; it defines no Airflow dag itself."""

from include.core.errors import BadInputError
from include.pipelines import all_pipelines

if _errors := all_pipelines()[1]:
    raise BadInputError("\n\n".join(map(str, _errors)))
