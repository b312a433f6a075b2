"""torchrun that leaves nobody behind: `python -m dcgan_models.training.launch [torchrun's words]`.

torchrun's processes train on when torchrun itself is killed, and torchrun when its own parent is.
Here each ends with the one that started it. A process that fails has said why: its exit code is
passed on without torchrun's own report. So are hosts that did not come together, as `UNMET`.
"""

from __future__ import annotations

import sys

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous.api import RendezvousError
from torch.distributed.run import main

from dcgan_models.machine import die_with_parent

UNMET = 75

if __name__ == "__main__":
    die_with_parent()
    try:
        main(sys.argv[1:])
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        sys.exit(code if code > 0 else 128 - code)
    except RendezvousError:
        sys.exit(UNMET)
    except SignalException as stopped:
        sys.exit(128 + stopped.sigval)
