"""Commands as documents print them, "$ " and what they answer: read, run in one shell, compared."""
import re
import subprocess

DIGEST = re.compile(r"[0-9a-f]{64,128}")
END = "end-of-step"


def steps(path, mark):
    """Pairs of a command and the lines that the document shows after it, of all blocks below <!-- mark -->. A command
    goes on in the next line after a backslash, and up to the end of a here-document."""
    with open(path, encoding="utf-8") as f:
        blocks = re.findall(r"<!-- " + mark + r" -->\n```\n(.*?)```", f.read(), re.S)
    found, until = [], None
    for line in "".join(blocks).splitlines():
        if until is not None or (found and not found[-1][1] and found[-1][0].endswith("\\")):
            found[-1][0] += "\n" + line
            until = None if line == until else until
        elif line.startswith("$ "):
            found.append([line[2:], []])
            here = re.search(r"<<'?(\w+)'?", line)
            until = here[1] if here else None
        else:
            found[-1][1].append(line)
    return found


class Comparison:
    """Digests may differ from machine to machine, but one that a document shows stands for one of this machine,
    throughout; "…" in a line stands for anything, and a line of it ends the comparison."""

    def __init__(self):
        self.names = {}

    def line(self, want, have):
        pattern = "".join(".*" if part == "…" else DIGEST.sub("[0-9a-f]{64,128}", re.escape(part))
                          for part in re.split("(…)", want))
        if not re.fullmatch(pattern, have):
            return False
        if "…" in want:
            return True
        return all(self.names.setdefault(a, b) == b for a, b in zip(DIGEST.findall(want), DIGEST.findall(have)))

    def same(self, shown, got):
        for i, want in enumerate(shown):
            if want == "…":
                return True
            if i >= len(got) or not self.line(want, got[i]):
                return False
        return len(got) == len(shown)


class Shell:
    """One bash for all commands; its standard error is for people."""

    def __init__(self, folder, env=None):
        self.process = subprocess.Popen(["bash"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=env)

    def run(self, command):
        """What the command writes to standard output."""
        self.process.stdin.write(command + f"\necho; echo {END}\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line == END + "\n":
                break
            lines.append(line.rstrip())
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()
