"""Becomes a program under a unit's SystemCallFilter and RestrictAddressFamilies, as uid 65532 with no right.

    confined.py UNIT PROGRAM [ARGUMENT...]

What the filter forbids ends the process, where systemd would only have the call fail (SystemCallErrorNumber): nothing
that the program needs goes by unseen.
"""
import ctypes
import errno
import os
import socket
import subprocess
import sys

import seccomp

PR_SET_NO_NEW_PRIVS = 38


def calls(word):
    """The calls of a word of the filter, which may be a group."""
    if not word.startswith("@"):
        return {word}
    command = ["/usr/bin/systemd-analyze", "syscall-filter", word]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    words = [line.strip() for line in lines]
    return set().union(*(calls(word) for word in words if word and not word.startswith("#")))


def settings(unit, name):
    with open(unit) as lines:
        return [line.strip().split("=", 1)[1] for line in lines if line.startswith(name + "=")]


unit, program = sys.argv[1], sys.argv[2:]
allowed = set()
for words in settings(unit, "SystemCallFilter"):
    named = set().union(*(calls(word) for word in words.lstrip("~").split()))
    allowed = allowed - named if words.startswith("~") else allowed | named
families = {getattr(socket, name) for words in settings(unit, "RestrictAddressFamilies") for name in words.split()}
assert allowed and families

seccomp_filter = seccomp.SyscallFilter(seccomp.KILL_PROCESS)
for call in allowed - {"socket", "socketcall"}:
    # Not every architecture has each.
    if seccomp.resolve_syscall(seccomp.Arch(), call) >= 0:
        seccomp_filter.add_rule(seccomp.ALLOW, call)
for family in range(64):
    verdict = seccomp.ALLOW if family in families else seccomp.ERRNO(errno.EAFNOSUPPORT)
    seccomp_filter.add_rule(verdict, "socket", seccomp.Arg(0, seccomp.EQ, family))
os.setgroups([])
os.setresgid(65532, 65532, 65532)
os.setresuid(65532, 65532, 65532)
ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
seccomp_filter.load()
os.execve(program[0], program, os.environ)
