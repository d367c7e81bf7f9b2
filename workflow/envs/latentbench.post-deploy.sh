set -e
uv pip sync --require-hashes --python "$CONDA_PREFIX" requirements/main.lock
uv pip install --no-deps --no-build-isolation --python "$CONDA_PREFIX" .
