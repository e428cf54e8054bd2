"""What nested.py starts in its machine: the `main` of each module named, one after the other."""

import importlib
import sys
import traceback

for name in sys.argv[1:]:
    print("BEGIN", name, flush=True)
    try:
        importlib.import_module(name).main()
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        print("ENDED 1", flush=True)
    else:
        print("ENDED 0", flush=True)
