"""Save and load fitted estimators without pickle.

A model folder holds ``model.json`` (structure, parameters, small values; a format version) and one
``arrays-<hash>.safetensors`` file with all arrays; parts that are scikit-learn's own are kept as
``sklearn-<hash>.skops``. The JSON file names the others and is replaced last and in one step,
so that a crash leaves the old model or the new one, never half of either.
"""

from skscan.persistence.folder import MODEL_FILE, load, replace_model, save

__all__ = ["MODEL_FILE", "load", "replace_model", "save"]
