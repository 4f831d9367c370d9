#!/bin/sh
# Install packages into a virtual environment: deploy/install.sh FOLDER [options of pip install]
# uv is quicker than pip: it unpacks in parallel, and links to what another environment has already. It does not
# read pip's configuration, so pip tries where uv fails. Neither compiles: what is imported is compiled then.
folder=$1
shift
if [ -x "$folder/bin/uv" ]; then
    "$folder/bin/uv" pip install --quiet --python "$folder/bin/python" "$@" && exit
    echo "uv could not install this; pip tries." >&2
fi
exec "$folder/bin/pip" install --quiet --disable-pip-version-check --no-compile "$@"
