"""The old names of errors. They are ours, so that a script that catches one catches it."""

from euclid_dask.core.errors import (
    EuclidDaskError,
    InputError,
    InternalError,
    PipelineError,
    SiteError,
)

ConfigurationError = SiteError
RunConfigurationError = InputError
PipelineSpecificationError = PipelineError
PipelineGraphError = PipelineError
PipelineFrameworkError = InternalError
ProcessingError = EuclidDaskError
DrmError = SiteError

__all__ = [
    "ConfigurationError",
    "DrmError",
    "PipelineFrameworkError",
    "PipelineGraphError",
    "PipelineSpecificationError",
    "ProcessingError",
    "RunConfigurationError",
]
