extension Helper {
    /// A CPython interpreter that uses its own queues, pipes, locks and conditions between two processes.
    ///
    /// Requests: `queue COUNT SIZE`, `pipe COUNT SIZE` (a child sends, the interpreter receives), `roundtrip COUNT`, `lock COUNT`,
    /// `rlock COUNT`, `condition COUNT`, `index COUNT`, `many COUNT` (two send, two receive). The first item or round is the
    /// child's start, and not counted.
    static func sharedPython() throws -> Helper {
        try Helper("python3", arguments: ["-c", script])
    }

    private static let script = """
        import multiprocessing, platform, sys, time
        context = multiprocessing.get_context("fork")
        now = time.perf_counter_ns
        print(platform.python_implementation(), platform.python_version(), flush=True)

        def item(size):
            return 7 if size == 0 else b"x" * size

        def put(queue, count, size):
            value = item(size)
            for _ in range(count): queue.put(value)

        def queue(count, size):
            queue = context.Queue()
            child = context.Process(target=put, args=(queue, count + 1, size))
            child.start()
            queue.get()
            begin = now()
            for _ in range(count): queue.get()
            end = now()
            child.join()
            return end - begin

        def take(queue, count, done):
            for _ in range(count): queue.get()
            done.release()

        def many(count):
            queue, done, go = context.Queue(), context.Semaphore(0), context.Event()
            half = count // 2
            children = [context.Process(target=put, args=(queue, half, 0)) for _ in range(2)]
            children += [context.Process(target=take, args=(queue, half, done)) for _ in range(2)]
            begin = now()
            for child in children: child.start()
            for child in children: child.join()
            return now() - begin

        def send(pipe, count, size):
            value = item(size)
            for _ in range(count): pipe.send(value)

        def pipe(count, size):
            ours, theirs = context.Pipe()
            child = context.Process(target=send, args=(theirs, count + 1, size))
            child.start()
            ours.recv()
            begin = now()
            for _ in range(count): ours.recv()
            end = now()
            child.join()
            return end - begin

        def echo(pipe, count):
            for _ in range(count): pipe.send(pipe.recv())

        def roundtrip(count):
            ours, theirs = context.Pipe()
            child = context.Process(target=echo, args=(theirs, count + 1))
            child.start()
            ours.send(7); ours.recv()
            begin = now()
            for _ in range(count): ours.send(7); ours.recv()
            end = now()
            child.join()
            return end - begin

        def pairs(lock, count):
            begin = now()
            for _ in range(count): lock.acquire(); lock.release()
            return now() - begin

        def turns(condition, count):
            with condition:
                for _ in range(count): condition.notify(); condition.wait()
                condition.notify()

        def condition(count):
            shared = context.Condition()
            child = context.Process(target=turns, args=(shared, count))
            with shared:
                child.start()
                shared.wait()
                begin = now()
                for _ in range(count): shared.notify(); shared.wait()
                end = now()
            child.join()
            return end - begin

        def index(count):
            array = context.Array("q", range(10))
            begin = now()
            for _ in range(count): array[5]
            return now() - begin

        for line in iter(sys.stdin.readline, ""):
            name, *numbers = line.split()
            numbers = [int(number) for number in numbers]
            if name == "lock": time_taken = pairs(context.Lock(), *numbers)
            elif name == "rlock": time_taken = pairs(context.RLock(), *numbers)
            else: time_taken = {"queue": queue, "many": many, "pipe": pipe, "roundtrip": roundtrip, "condition": condition, "index": index}[name](*numbers)
            print(time_taken, flush=True)
        """
}
