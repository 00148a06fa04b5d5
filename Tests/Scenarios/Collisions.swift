import Glibc
import Multiprocessing
import SystemPackage

/// Passes descriptors under numbers that a child needs for itself: 3 and the next are its channel and its lifelines.
enum Collisions {
    static func run(method name: String) throws {
        let method = StartMethod.allCases.first { $0.description == name }!
        // With a large argument too, which comes as one more descriptor.
        for padding in [0, 200_000] {
            for numbers: [Int32] in [
                [3], [4], [5], [6], [7], [8], [3, 4, 5], [5, 4, 3], [6, 3, 9, 4], [3, 250], [highest()], Array(3..<40),
                Array((3..<40).reversed()), [3, highest()],
            ] {
                try pass(numbers, padding: padding, method: method)
            }
        }
        say("OK")
    }

    /// In a copy of this process, which has no children and none of the library's descriptors yet.
    private static func pass(_ numbers: [Int32], padding: Int, method: StartMethod) throws {
        let copy = fork()
        if copy == 0 {
            do { try passHere(numbers, padding: padding, method: method) } catch {
                say("\(numbers): \(error)", to: 2); _exit(1)
            }
            _exit(0)
        }
        var status: Int32 = 0
        require(waitpid(copy, &status, 0) == copy && status == 0, "numbers \(numbers), padding \(padding)")
    }

    private static func passHere(_ numbers: [Int32], padding: Int, method: StartMethod) throws {
        var files: [Int32] = []
        for number in numbers {
            let ends = try FileDescriptor.pipe()
            let text = Array("pipe for \(number)".utf8)
            _ = write(ends.writeEnd.rawValue, text, text.count)
            try ends.writeEnd.close()
            files.append(fcntl(ends.readEnd.rawValue, F_DUPFD_CLOEXEC, 400))
            try ends.readEnd.close()
        }
        for (file, number) in zip(files, numbers) {
            require(dup2(file, number) == number, "no descriptor \(number)")
            close(file)
        }
        var options = ProcessOptions()
        options.startMethod = method
        options.descriptors = numbers.map { FileDescriptor(rawValue: $0) }
        let large = [UInt8](repeating: 7, count: padding)
        let child = try ChildProcess(arguments: numbers, large, options: options) { numbers, large -> [String] in
            guard large.allSatisfy({ $0 == 7 }) else { return [] }
            return numbers.map { content(of: $0) }
        }
        try child.start()
        let found = try child.waitForValue(timeout: .seconds(20))
        require(found == numbers.map { "pipe for \($0)" }, "\(numbers): \(found)")
    }

    private static func content(of file: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 100)
        let count = read(file, &buffer, buffer.count)
        return count < 0 ? "error \(errno)" : String(decoding: buffer[..<count], as: UTF8.self)
    }

    /// The highest number that the limit allows.
    private static func highest() -> Int32 {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(7), &limit)
        return Int32(min(limit.rlim_cur, 65536)) - 1
    }
}
