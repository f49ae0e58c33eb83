"""The program's frame: help, versions, options and where they come from, exit codes."""
import re

from worker import expect, point, stores


def case_help_lists_commands_settings_and_exit_codes(worker):
    done = worker.run("--help")
    expect(done, 0, "deliver", "--server URL", "LLMQUOTE_SPOOL", "Exit codes", "  75  ")
    assert done.stderr == ""
    for name in re.findall(r"^  (\w+) +\w", done.stdout.split("Settings")[0], re.MULTILINE):
        own = worker.run(name, "--help")
        expect(own, 0, f"usage: llmquote-worker {name}", "--token-file")


def case_lines_of_help_fit_a_terminal(worker):
    for line in worker.run("--help").stdout.splitlines():
        assert len(line) <= 100, line


def case_without_a_command_the_help_goes_to_standard_error(worker):
    done = worker.run()
    expect(done, 64, "usage:")
    assert done.stdout == ""


def case_the_version_is_one_line(worker):
    done = worker.run("--version")
    expect(done, 0)
    assert re.fullmatch(r"llmquote-worker \d+\.\d+\.\d+\n", done.stdout), done.stdout


def case_wrong_usage_is_told(worker):
    for arguments, part in ((["nope"], 'no command "nope"'), (["--nope"], 'no command "--nope"'),
                            (["deliver", "--nope"], 'unknown option "--nope"'),
                            (["deliver", "-x"], 'unknown option "-x"'),
                            (["deliver", "--token=lq_secret"], 'unknown option "--token"'),
                            (["deliver", "--server"], "--server takes URL"),
                            (["deliver", "--server="], "--server takes URL"),
                            (["deliver", "--give-up", "x"], "--give-up takes SECONDS from 0"),
                            (["deliver", "--give-up=-1"], "--give-up takes SECONDS from 0"),
                            (["deliver", "--timeout", "1e9"], "from 0.1 to 3600"),
                            (["deliver", "--timeout", "nan"], "from 0.1 to 3600"),
                            (["deliver", "--insecure-http=1"], "takes no value"),
                            (["deliver", "more"], "takes no argument"),
                            (["deliver", "--", "--help"], "takes no argument")):
        done = worker.run(*arguments)
        expect(done, 64, part)
        assert "lq_secret" not in done.stderr, done.stderr


def case_variables_stand_in_for_flags(worker):
    worker.keep([point(1)])
    fake = worker.fake(stores)
    variables = {"LLMQUOTE_SERVER": fake.url, "LLMQUOTE_SPOOL": str(worker.spool),
                 "LLMQUOTE_TOKEN_FILE": str(worker.token_file)}
    expect(worker.run("deliver", LLMQUOTE_GIVE_UP="x"), 64, "LLMQUOTE_GIVE_UP takes SECONDS")
    expect(worker.run("deliver", "--give-up", "1", LLMQUOTE_GIVE_UP="x"), 0)
    expect(worker.run("deliver", **variables), 0, "delivered 1 points")


def case_the_spool_has_a_place_of_its_own(worker):
    expect(worker.run("deliver"), 0)
    assert (worker.folder / ".local/state/llmquote-worker/spool").exists()
    expect(worker.run("deliver", XDG_STATE_HOME=str(worker.folder / "state")), 0)
    assert (worker.folder / "state/llmquote-worker/spool").exists()
    mode = (worker.folder / "state/llmquote-worker").stat().st_mode
    assert mode & 0o077 == 0, oct(mode)


def case_an_empty_spool_needs_neither_server_nor_token(worker):
    done = worker.run("deliver", "--spool", worker.spool, "--token-file", "/no/such/file",
                      "--server", "http://192.0.2.1:1")
    expect(done, 0, "delivered 0 points")


def case_a_token_file_that_is_of_no_use_is_told(worker):
    worker.keep([point(1)])
    expect(worker.run("deliver", "--spool", worker.spool, "--token-file", "/no/such/file"), 74,
           "/no/such/file")
    worker.token_file.write_text("\n")
    expect(worker.run("deliver", "--spool", worker.spool, "--token-file", worker.token_file), 74,
           "no first line")
    worker.token_file.write_text("x" * 600)
    expect(worker.run("deliver", "--spool", worker.spool, "--token-file", worker.token_file), 64,
           "longer than")
