#!/usr/bin/env bash
# The torch adapters on the real torchvision. torch is several GB, so its environment is kept outside the checkout, one for
# each Python and pair of versions; the project itself is installed into it anew each time, from the wheel $1, by the
# command $INSTALL INTERPRETER.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
requirements=tests/adapters/requirements.txt
key=py$("$python" -c 'import sys; print("%d%d" % sys.version_info[:2])')-$(tr -d '\n' <"$requirements" | tr -c 'a-z0-9.' '-')
environment=${XDG_CACHE_HOME:-$HOME/.cache}/midstream/environments/$key
mkdir -p "$environment"
exec 9>"$environment.lock"
flock 9 # two checkouts may share the environment, not a run
if [ ! -e "$environment/.complete" ]; then
    "$python" -m venv --clear --without-pip "$environment"
    touch "$environment/.complete"
fi
$INSTALL "$environment/bin/python" --reinstall-package midstream --requirement "$requirements" "$1[torch]" --group test
exec "$environment/bin/python" -m pytest tests/adapters
