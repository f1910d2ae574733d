#!/usr/bin/env bash
# gpu-check on a bare machine that has Python, PyTorch and an NVIDIA GPU but no network and no install of onnxpress.
#
#   gpu_machine.sh begin PIECES     copy what was carried, and export the six models in the background meanwhile
#   gpu_machine.sh take PIECES      copy more of what was carried
#   gpu_machine.sh check OUT [...]  put the pieces together, and run `python -m benchmarks.gpu OUT ...`
#
# PIECES holds what lies beside: piece-NN with pieces.sha256 (a packed site folder with onnxruntime-gpu and what the
# server needs, split), small.tar.xz (the same without onnxruntime, for the export), compiled.tar.xz (this project's wheel,
# unpacked: the server that is measured) and wheels, as far as each is there.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
work=${GPU_WORK:-/tmp/onnxpress-gpu}
python=${PYTHON:-python3}
mkdir -p "$work/pieces"

take() { find "$1" -maxdepth 1 -type f -exec cp {} "$work/pieces/" \; ; ls "$work/pieces"; }

unpack() { # standard input → folder
  mkdir -p "$1"
  "$python" -c 'import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode="r|xz").extractall(sys.argv[1], filter="data")' "$1"
}

case $1 in
begin)
  take "$2"
  nvidia-smi || true
  if [ -f "$work/pieces/small.tar.xz" ]; then
    unpack "$work/small" < "$work/pieces/small.tar.xz"
    # A copy: the next call lays another working tree over this one.
    cp -r "$here" "$work/tree"
    cd "$work/tree"
    PYTHONPATH="$work/small" setsid nohup "$python" -m benchmarks.gpu "$work/begun" --provider cpu --seconds 260 \
      --only publishing --repository "$work/models" > "$work/begun.log" 2>&1 < /dev/null &
    echo $! > "$work/begun.pid"
  fi
  ;;
take) take "$2" ;;
check)
  out=$2
  shift 2
  mkdir -p "$out"
  if ls "$work"/pieces/piece-* > /dev/null 2>&1; then
    (cd "$work/pieces" && sha256sum --quiet -c pieces.sha256)
    cat "$work"/pieces/piece-* | unpack "$work/site"
  fi
  if [ -f "$work/pieces/compiled.tar.xz" ]; then unpack "$work/compiled" < "$work/pieces/compiled.tar.xz"; fi
  if ls "$work"/pieces/*.whl > /dev/null 2>&1; then
    "$python" -m pip install -q --no-index --no-deps --no-compile --target "$work/site" "$work"/pieces/*.whl
  fi
  if [ -f "$work/begun.pid" ]; then
    for _ in $(seq 90); do kill -0 "$(cat "$work/begun.pid")" 2> /dev/null || break; sleep 1; done
    cp "$work/begun/record.json" "$out/exported.json" || tail -5 "$work/begun.log"
  fi
  [ ! -d "$work/compiled" ] || export ONNXPRESS_SERVER_PATH="$work/compiled"
  cd "$here"
  PYTHONPATH="$work/site${PYTHONPATH:+:$PYTHONPATH}" "$python" -m benchmarks.gpu "$out" --repository "$work/models" "$@" 2>&1 \
    | tee "$out/log.txt"
  ;;
*) sed -n '2,11p' "$0" >&2; exit 2 ;;
esac
