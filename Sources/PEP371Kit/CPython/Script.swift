/// The same harness and workloads in Python, written to a private file for the interpreter to run.
///
/// A file, not `-c`: the start methods "spawn" and "forkserver" import the main module again, by its path.
enum PythonScript {
    static let text = #"""
        """PEP 371's workloads for the comparison: reads a JSON order from its command line, writes JSON lines."""

        import json
        import multiprocessing
        import os
        import platform
        import queue as thread_queue
        import socket
        import statistics
        import sys
        import threading
        import time


        class WrongResult(Exception):
            pass


        def check(what, found, expected):
            if found != expected:
                raise WrongResult(f"{what} is {found}, must be {expected}")


        def empty_func(job):
            pass


        def fibonacci(job):
            a, b = 0, 1
            for _ in range(job["steps"]):
                a, b = b, a + b
            check("fibonacci: number of bits", a.bit_length(), job["expectedBits"])
            check("fibonacci: last nine digits", a % 1_000_000_000, job["expectedTail"])


        def is_prime(number):
            if number < 2:
                return False
            if number % 2 == 0:
                return number == 2
            divisor = 3
            while divisor * divisor <= number:
                if number % divisor == 0:
                    return False
                divisor += 2
            return True


        def crunch_primes(job):
            total = 0
            for number in range(job["limit"]):
                if is_prime(number):
                    total += number
            check("crunch_primes: sum of the primes", total, job["expectedSum"])


        def file_io(job):
            size = job["size"]
            lines = job["linesPerSeek"]
            state = 371
            copied = 0
            with open(job["path"], "rb") as source, open(os.devnull, "wb") as sink:
                for _ in range(job["seeks"]):
                    state = (state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
                    source.seek((state >> 33) % size)
                    for _ in range(lines):
                        line = source.readline()
                        if not line:
                            break
                        copied += sink.write(line)
            check("file_io: bytes copied", copied, job["expectedBytes"])


        REQUEST = b"GET /missing HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"


        def url_get(job):
            address = ("127.0.0.1", job["port"])
            for _ in range(job["fetches"]):
                with socket.create_connection(address, timeout=10) as client:
                    client.sendall(REQUEST)
                    answer = b""
                    while True:
                        part = client.recv(4096)
                        if not part:
                            break
                        answer += part
                check("url_get: length of the answer", len(answer), job["expectedLength"])
                check("url_get: status line", answer[:12], b"HTTP/1.0 404")


        def queue(job, shared=None):
            shared = shared or thread_queue.Queue()
            total = 0
            for _ in range(job["pairs"]):
                shared.put(job["value"])
                total += shared.get()
            check("queue: sum of what came out", total, job["pairs"] * job["value"])


        WORKLOADS = {f.__name__: f for f in (empty_func, fibonacci, crunch_primes, file_io, url_get, queue)}


        def with_shared(work, job, make):
            """The arguments of a copy: those of the queue's test share one."""
            return (job, make()) if work is queue else (job,)


        def linear(work, job, n):
            for _ in range(n):
                work(job)


        def threads(work, job, n):
            failures = []
            arguments = with_shared(work, job, thread_queue.Queue)

            def target():
                try:
                    work(*arguments)
                except BaseException as failure:
                    failures.append(failure)

            workers = [threading.Thread(target=target) for _ in range(n)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            if failures:
                raise failures[0]


        def processes(work, job, n):
            arguments = with_shared(work, job, multiprocessing.Queue)
            workers = [multiprocessing.Process(target=work, args=arguments) for _ in range(n)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            for worker in workers:
                if worker.exitcode != 0:
                    raise WrongResult(f"a process ended with exit code {worker.exitcode}")


        MODES = {f.__name__: f for f in (linear, threads, processes)}


        def say(**event):
            # Flushed for each run: if nobody listens any more, this fails and the script ends.
            sys.stdout.write(json.dumps(event) + "\n")
            sys.stdout.flush()


        def timed(call, *arguments):
            begin = time.perf_counter()
            call(*arguments)
            return time.perf_counter() - begin


        def measure(order, mode, n):
            work, job = WORKLOADS[order["workload"]], order["job"]
            begin = time.perf_counter()
            times = []
            while True:
                say(event="run", mode=mode, n=n, run=len(times) + 1)
                times.append(timed(MODES[mode], work, job, n))
                if len(times) < order["least"]:
                    continue
                if len(times) >= order["most"] or time.perf_counter() - begin >= order["budget"]:
                    break
            say(event="result", mode=mode, n=n, best=min(times), median=statistics.median(times), repeats=len(times))


        def introduce():
            first = timed(processes, empty_func, {}, 1)
            free = hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled()
            say(
                event="hello",
                description=f"{platform.python_implementation()} {platform.python_version()}"
                + (" without GIL" if free else ""),
                startMethod=multiprocessing.get_start_method(),
                firstProcess=first,
            )


        def main():
            order = json.loads(sys.argv[1])
            introduce()
            for n in order["counts"]:
                for mode in MODES:
                    measure(order, mode, n)


        if __name__ == "__main__":
            try:
                main()
            except BrokenPipeError:
                os._exit(1)

        """#
}
