extension Helper {
    /// A CPython interpreter with a pool of its own, of so many workers as there are processors.
    ///
    /// Requests: `map COUNT`, `imap COUNT` (unordered, one item for a chunk), `apply COUNT PERCENT` (that percentile of so many
    /// round trips), `up METHOD` (a pool of eight, and its first result).
    static func poolPython() throws -> Helper {
        try Helper("python3", arguments: ["-c", script])
    }

    private static let script = """
        import multiprocessing, os, platform, sys, time
        now = time.perf_counter_ns
        print(platform.python_implementation(), platform.python_version(), flush=True)

        def successor(number):
            return number + 1

        pool = multiprocessing.get_context("fork").Pool(len(os.sched_getaffinity(0)))

        def map(count):
            begin = now()
            values = pool.map(successor, range(count))
            end = now()
            assert len(values) == count
            return end - begin

        def imap(count):
            begin = now()
            total = sum(pool.imap_unordered(successor, range(count), 1))
            end = now()
            assert total == count * (count + 1) // 2
            return end - begin

        def apply(count, percent):
            times = []
            for number in range(count):
                begin = now()
                pool.apply(successor, (number,))
                times.append(now() - begin)
            return sorted(times)[(count - 1) * percent // 100]

        def up(method):
            begin = now()
            fresh = multiprocessing.get_context(method).Pool(8)
            fresh.apply(int)
            end = now()
            fresh.terminate()
            fresh.join()
            return end - begin

        for line in iter(sys.stdin.readline, ""):
            name, *words = line.split()
            if name == "up": time_taken = up(*words)
            else: time_taken = {"map": map, "imap": imap, "apply": apply}[name](*[int(word) for word in words])
            print(time_taken, flush=True)
        """
}
