"""The machine that measures: its cores, and what processes on it use."""

import os
import platform
import resource

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def be_nice(value):
    """Sets the priority of this process and all that it starts, also against other sessions."""
    try:
        os.setsid()  # Linux shares the processor between sessions first, and only then by niceness.
    except PermissionError:
        pass  # It leads a session already.
    os.nice(value)
    try:
        with open("/proc/self/autogroup", "w") as f:
            f.write(str(value))
    except OSError:
        pass  # No such grouping on this kernel.


def stay_out_of_the_way(core):
    """This process runs on that core, when nothing else wants to; what it starts is not affected."""
    try:
        os.sched_setaffinity(0, {core})
        os.sched_setscheduler(0, os.SCHED_IDLE | os.SCHED_RESET_ON_FORK, os.sched_param(0))
    except OSError:
        pass  # It then costs the load a little now and then.


def in_background(command, shared=False):
    """The command, running only when nothing else on its core wants to; on a machine shared with other work, where that
    could be never, at a lower priority than the load.
    """
    return ["nice", "-n", "10", *command] if shared else ["chrt", "--idle", "0", *command]


def pinned(core, command):
    """The command, bound to one core; unbound if `core` is None."""
    return (["taskset", "-c", str(core)] if core is not None else []) + list(command)


def raise_file_limit(wanted=65536):
    """Children inherit it; 10,000 idle connections need it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (wanted, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, hard)))
            return limit
        except (ValueError, OSError):
            continue
    return soft


def rss_kib(pids):
    """Resident memory of processes together; those that are gone count nothing."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/status") as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))
        except FileNotFoundError:
            continue
    return total


def tree(pid):
    """The process and everything it has started that still runs."""
    pids, found = [pid], 0
    while found < len(pids):
        try:
            for task in os.listdir(f"/proc/{pids[found]}/task"):
                with open(f"/proc/{pids[found]}/task/{task}/children") as f:
                    pids += [int(child) for child in f.read().split()]
        except FileNotFoundError:
            pass
        found += 1
    return pids


def softirq_threads():
    """Kernel threads that do the network's work when there is much of it: part of every load here."""
    pids = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/comm") as f:
                if f.read().startswith("ksoftirqd/"):
                    pids.append(int(name))
        except FileNotFoundError:
            continue
    return pids


def describe():
    """What a reader needs to know to judge the figures."""
    model = ""
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo") as f:
        memory = int(f.readline().split()[1])
    return {"processor": model, "cores": os.cpu_count(), "memory_mib": memory // 1024,
            "kernel": platform.release(), "load_before": os.getloadavg()[0]}


def scratch_parent():
    """Where logs of servers go: memory if there is enough, so that no disk is measured."""
    try:
        room = os.statvfs("/dev/shm")
        if room.f_bavail * room.f_frsize > 2 << 30 and os.access("/dev/shm", os.W_OK):
            return "/dev/shm"
    except OSError:
        pass
    return None
