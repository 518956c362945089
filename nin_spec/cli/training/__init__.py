"""nin-spec train.

command.py      the command: begin a run, or resume one
arguments.py    what it is asked for
resuming.py     which run --resume resumes
stopping.py     Ctrl-C and SIGTERM
progress.py     what is printed meanwhile and at the end
"""
