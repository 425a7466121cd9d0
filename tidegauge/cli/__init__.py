"""The `tidegauge` command: a table of commands, each in a module of its own that is imported only when it is called.

To add a command: write `tidegauge/cli/ROOM/NAME.py` with `app = typer.Typer()` and `@app.command("NAME")` functions in it,
then add a line to COMMANDS. A line with `group=True` mounts the module's whole `app` under its name (`tidegauge policy
check`); otherwise the line's name is looked up among the module's commands, so that one module can hold several.
"""

from typing import NamedTuple


class Entry(NamedTuple):
    """Where a command lives. `help` is what `tidegauge --help` shows, without importing the module.

    `extra` is the extra of pyproject.toml that must be installed for it. `principal` is as whom it asks the servers of a secured
    embedded stack: of deploy.security.principals.
    """

    module: str  # below tidegauge.cli
    help: str
    group: bool = False
    extra: str = ""
    principal: str = "operator"


# In the order in which a newcomer needs them; `tidegauge --help` keeps it.
COMMANDS: dict[str, Entry] = {
    "up": Entry(
        "operation.stack",
        "Start the embedded Kafka, Redis server and PostgreSQL, and create the topics.",
        extra="embedded",
    ),
    "down": Entry("operation.stack", "Stop what `up` started.", extra="embedded"),
    "doctor": Entry("operation.doctor", "Check this machine, the servers and the topics, and say what to do."),
    "config": Entry("setup.config", "Show every setting with where it came from; secrets are masked.", group=True),
    "security": Entry("setup.security", "Print the least rights of each kind of process.", group=True),
    "topics": Entry("operation.topics", "Show the topic catalogue, or create what is missing."),
    "schemas": Entry("operation.schemas", "Look at the schema registry, or register the contracts in it.", group=True),
    "database": Entry("access.database", "Bring the tables of PostgreSQL to the form that is needed.", group=True),
    "staff": Entry("access.staff", "Take the bank's lists of units, staff and absences.", group=True),
    "keys": Entry("access.keys", "Make, list and revoke keys of kiosks, counters and the card system.", group=True),
    "login": Entry("access.login", "Log in: the commands behind it come from you."),
    "logout": Entry("access.login", "Forget the login."),
    "whoami": Entry("access.login", "Print who asks when you call a command."),
    "world": Entry("world.command", "Show the identity of the log, or change it.", group=True),
    "worker": Entry(
        "operation.worker",
        "Run a worker: agents that turn events into standings, tiers and alerts.",
        principal="worker",
    ),
    "drain": Entry("operation.drain", "End a worker for a planned stop, and say when it is safe."),
    "import": Entry("data.file_import", "Load a bank's files into the topics; again is harmless.", principal="loader"),
    "check-source": Entry(
        "data.check_source", "Look at what a new source has written, and say what is wrong with it.", principal="loader"
    ),
    "simulate": Entry("data.simulate", "Run a simulated bank, from a seed."),
    "close": Entry("operation.close", "Close a business day.", principal="loader"),
    "complete": Entry("data.sources", "Mark a source as complete up to a day.", principal="loader"),
    "holidays": Entry("data.sources", "Tell the workers the bank's holidays, from a file.", principal="loader"),
    "replay": Entry("data.standings", "Compute standings from files alone, without a broker."),
    "standings": Entry("data.standings", "Read every customer's standing as of a day.", principal="desk"),
    "explain": Entry(
        "explain.command",
        "Make every decision about a customer again from the log, and say whether it holds.",
        principal="desk",
    ),
    "outlook": Entry(
        "data.outlook", "Show what the closes ahead will give a customer if balances stay.", principal="desk"
    ),
    "rebuild": Entry("operation.views", "Wipe the Redis view and build it again from Kafka.", principal="views"),
    "views": Entry("operation.views", "Keep the Redis view in step with Kafka.", principal="views"),
    "readmodel": Entry(
        "desk.readmodel", "Fill the tables that the desk shows, or build them anew.", group=True, principal="readmodel"
    ),
    "alerts": Entry(
        "alerts.command",
        "List alerts of a manager, a branch or a customer; act on cases; score a pack's on worlds that are known.",
        group=True,
        principal="desk",
    ),
    "commands": Entry(
        "commands.command",
        "Take commands about customers: over HTTP, or out of a file.",
        group=True,
        principal="commands",
    ),
    "desk": Entry(
        "desk.command",
        "Serve the pages on which people look at customers and act on cases.",
        group=True,
        principal="commands",
    ),
    "queue": Entry(
        "queue.command",
        "Serve queue classes to kiosks, look one up; simulate and explain a branch's day.",
        group=True,
        principal="lookup",
    ),
    "notices": Entry(
        "notices.command",
        "Turn alerts into notices; see and give up those that wait.",
        group=True,
        principal="notices",
    ),
    "dead-letters": Entry("operation.dead_letters", "List, count, show and redrive what nobody could use.", group=True),
    "policy": Entry(
        "policy.command",
        "List, check, compare and try policy packs, decide with them, put one into force.",
        group=True,
        principal="policy",
    ),
    "demo": Entry(
        "operation.demo",
        "A simulated bank through everything, checked by an independent SQL computation.",
        extra="demo",
    ),
}
