import cProfile, pstats, sys, threading, signal, os
from nin_spec.cli import execute
p=cProfile.Profile()
def go():
    p.enable()
    try: execute(sys.argv[1:])
    finally: p.disable(); pstats.Stats(p,stream=open("/tmp/serve/prof.txt","w")).sort_stats("tottime").print_stats(45)
go()
