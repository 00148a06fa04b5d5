import Glibc
import Synchronization
import Testing

@testable import Multiprocessing

extension ProcessTests {
    @Suite(.timeLimit(.minutes(2)))
    struct ProgressBarTests {
        /// Shows a bar on a file and returns what is in it afterwards.
        private func written(
            to file: Int32,
            reading source: Int32,
            _ body: (ProgressBar) async throws -> Void
        ) async throws -> String {
            let bar = ProgressBar("work", progress: PoolProgress(total: 4), output: file, interval: .milliseconds(50))
            bar.start()
            try await body(bar)
            bar.end()
            // Nothing comes after the end.
            bar.print("later")
            // A terminal gives what it has in pieces.
            var all: [UInt8] = []
            while isReadable(source, within: 500) {
                var bytes = [UInt8](repeating: 0, count: 65536)
                let count = read(source, &bytes, bytes.count)
                guard count > 0 else { break }
                all += bytes.prefix(count)
            }
            return String(decoding: all, as: UTF8.self)
        }

        @Test func plainLinesWhereThereIsNoTerminal() async throws {
            var ends: [Int32] = [0, 0]
            #expect(pipe(&ends) == 0)
            defer { for end in ends { close(end) } }
            let text = try await written(to: ends[1], reading: ends[0]) { bar in
                bar.progress.add(finished: 2, failed: 1)
                bar.print("a line")
                try await Task.sleep(for: .milliseconds(300))
                bar.progress.add(finished: 1)
            }
            #expect(!text.contains("\u{1B}") && !text.contains("\r"))
            let lines = text.split(separator: "\n")
            #expect(lines.contains("a line"))
            #expect(lines.contains { $0.hasPrefix("work: 75 %, 3/4, 1 failed") })
            #expect(lines.dropLast().last?.hasPrefix("work: 100 %, 4/4, 1 failed") == true)
        }

        @Test func aLineThatVanishesOnATerminal() async throws {
            var (master, slave): (Int32, Int32) = (-1, -1)
            var size = winsize(ws_row: 24, ws_col: 60, ws_xpixel: 0, ws_ypixel: 0)
            #expect(openpty(&master, &slave, nil, nil, &size) == 0)
            defer { for end in [master, slave] { close(end) } }
            let text = try await written(to: slave, reading: master) { bar in
                bar.progress.add(finished: 2, failed: 1)
                try await Task.sleep(for: .milliseconds(500))
                bar.print("a line")
                try await Task.sleep(for: .milliseconds(300))
            }
            #expect(text.contains("work [") && text.contains("75 %, 3/4, "))
            #expect(text.contains("\r\u{1B}[Ka line\r\n"))
            // Erased at the end.
            #expect(text.contains("\r\u{1B}[Klater"))
            var plain: String = text
            for code in ["\u{1B}[K", "\u{1B}[31m", "\u{1B}[0m"] { plain = plain.replacing(code, with: "") }
            let lines: [Substring] = plain.split(whereSeparator: \.isNewline)
            #expect(lines.allSatisfy { (line: Substring) -> Bool in line.count < 60 })
        }

        /// Nobody reads the pipe, and it is full: the work is not to wait for that.
        @Test func aPipeThatNobodyReads() async throws {
            var ends: [Int32] = [0, 0]
            #expect(pipe(&ends) == 0)
            defer { for end in ends { close(end) } }
            let (source, file) = (ends[0], ends[1])
            _ = fcntl(file, F_SETFL, O_NONBLOCK)
            let full = [UInt8](repeating: 0, count: 4096)
            while write(file, full, full.count) > 0 {}
            _ = fcntl(file, F_SETFL, 0)
            let isDone = Atomic(false)
            async let work: Void = onThread {
                let bar = ProgressBar("work", output: file, interval: .milliseconds(20))
                bar.start()
                pause(.milliseconds(100))
                bar.end()
                isDone.store(true, ordering: .relaxed)
            }
            let isFree = try await eventually(within: .seconds(10)) { isDone.load(ordering: .relaxed) }
            #expect(isFree)
            var buffer = [UInt8](repeating: 0, count: 1 << 20)
            _ = read(source, &buffer, buffer.count)
            try await work
        }

        @Test func aDescriptorThatIsClosedOrBroken() throws {
            var ends: [Int32] = [0, 0]
            #expect(pipe(&ends) == 0)
            close(ends[0])
            let broken = ProgressBar("work", output: ends[1], interval: .milliseconds(10))
            broken.start()
            pause(.milliseconds(50))
            broken.end()
            close(ends[1])
            let closed = ProgressBar("work", output: 1 << 20, interval: .milliseconds(10))
            closed.start()
            closed.print("a line")
            pause(.milliseconds(50))
            closed.end()
        }

        @Test func numbersThatMakeNoSense() {
            var counts = PoolProgress.Counts()
            (counts.total, counts.rate) = (.max, 0.01)
            #expect(counts.timeLeft == nil && counts.fraction == 0)
            (counts.finished, counts.total) = (-5, 10)
            #expect(counts.fraction == 0)
            #expect(!ProgressLine(title: "", counts: counts).bar(columns: 80).isEmpty)
            for columns in -1..<100 {
                #expect(ProgressLine(title: "work", counts: counts).bar(columns: columns).count <= max(0, columns))
            }
            let progress = PoolProgress()
            for _ in 0..<2 { progress.enter(total: .max) }
            #expect(progress.counts.total == .max)
        }

        @Test func ctrlCErasesIt() throws {
            let terminal = try Terminal(["progress"])
            #expect(terminal.nextLine().contains("begun"))
            pause(.milliseconds(500))
            terminal.type("\u{3}")
            let status = try #require(terminal.status())
            #expect(status & 0x7f == SIGINT)
            let (text, _) = terminal.rest()
            #expect(text.contains("work ["))
            #expect(text.hasSuffix("\u{1B}[K"))
        }
    }
}
