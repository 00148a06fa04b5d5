internal import MultiprocessingSystem
internal import Synchronization

/// A line on standard error that says how far some work is.
///
///     let bar = ProgressBar("hashing")
///     let sums = try await bar.run { try await pool.map(files) { try hash($0) } }
///
/// On a terminal it is drawn in place, as wide as the terminal is at that moment, and is gone when the work is over, or Ctrl-C,
/// SIGTERM or a hang-up end the program. Elsewhere, and where `TERM` is `dumb`, it is a plain line every few seconds and one at the end.
/// `NO_COLOR` is respected. What the program writes while there is a bar goes through ``print(_:)``, to appear above it.
///
/// A thread of its own draws it, ten times a second at most. Where nobody takes what is written, a terminal that is stopped or a pipe that
/// is not read, it is not drawn, and holds up nothing. A bar that is dropped is ended.
public final class ProgressBar: Sendable {
    private struct State {
        /// What is in the terminal's line now.
        var drawn: String?
        var isOver = false
        var hasBegun = false
    }

    /// What the bar shows.
    public let progress: PoolProgress
    private let title: String
    private let terminal: Terminal
    private let isLive: Bool
    private let isColoured: Bool
    private let interval: Duration
    /// Held while something is written, so that lines do not mix.
    private let state = Mutex(State())
    private let stop = OneShot<Void>()

    /// Makes a bar; it appears when ``start()`` or ``run(_:)-…`` is called.
    ///
    /// - Parameters:
    ///   - title: what is in front of the numbers.
    ///   - progress: what to show.
    ///   - output: the descriptor to write to, which has to stay open as long as there is a bar; standard error.
    ///   - interval: the time between two lines where the output is no terminal.
    public init(
        _ title: String = "",
        progress: PoolProgress = PoolProgress(),
        output: Int32 = 2,
        interval: Duration = .seconds(5)
    ) {
        self.title = title
        self.progress = progress
        terminal = Terminal(file: output)
        let environment = ThisProcess.environment.map { String(decoding: $0, as: UTF8.self) }
        isLive = terminal.isTerminal && !environment.contains("TERM=dumb")
        // By its convention: present and not empty.
        isColoured = isLive && !environment.contains { $0.hasPrefix("NO_COLOR=") && $0 != "NO_COLOR=" }
        self.interval = isLive ? .milliseconds(100) : interval
    }

    deinit { end() }

    /// Shows the bar while `body` runs, and counts what ``PoolProgress/track(_:)-…`` counts. Suspends as long as `body` does.
    public func run<R>(_ body: () async throws -> R) async rethrows -> R {
        start()
        defer { end() }
        return try await progress.track(body)
    }

    /// Shows the bar while `body` runs, for code that may block its thread.
    @available(*, noasync, message: "Use the async run")
    public func run<R>(_ body: () throws -> R) rethrows -> R {
        start()
        defer { end() }
        return try progress.track(body)
    }

    /// Shows the bar from now on; once.
    public func start() {
        let begins = state.withLock { state in
            defer { state.hasBegun = true }
            return !state.hasBegun && !state.isOver
        }
        guard begins else { return }
        if isLive { terminal.beginLine() }
        // Without a thread there is no bar, and the work goes on.
        try? Thread.detach(named: "mp-progress") { [weak self, stop, interval] in
            while stop.wait(timeout: interval) == nil, let self { self.draw() }
        }
    }

    /// Removes the bar, or writes the last line; when this returns nothing more will be written. Once.
    ///
    /// Blocks the thread for a second at most, if there is no room for what is written.
    public func end() {
        stop.set(())
        state.withLock { state in
            guard state.hasBegun, !state.isOver else { return }
            state.isOver = true
            let text = isLive ? Self.erase : line.plain + "\n"
            if terminal.isWritable(within: .seconds(1)) { terminal.write(text) }
            if isLive { terminal.endLine() }
        }
    }

    /// Writes a line above the bar, or where the bar would be. Blocks the thread while there is no room.
    public func print(_ text: String) {
        state.withLock { state in
            guard isLive, let drawn = state.drawn, !state.isOver else { return terminal.write(text + "\n") }
            terminal.write(Self.erase + text + "\n" + drawn)
        }
    }

    private var line: ProgressLine {
        ProgressLine(title: title, counts: progress.counts, isColoured: isColoured)
    }

    private func draw() {
        state.withLock { state in
            guard !state.isOver, terminal.isWritable(within: .zero) else { return }
            guard isLive else { return terminal.write(line.plain + "\n") }
            // One column stays free: a full line would move the cursor to the next one.
            let text = line.bar(columns: (terminal.columns ?? 80) - 1)
            guard text != state.drawn else { return }
            state.drawn = text
            // Written over what was there, and the rest erased after it: an empty line is never seen.
            terminal.write("\r" + text + Self.eraseRest)
        }
    }

    private static let eraseRest = "\u{1B}[K"
    private static let erase = "\r" + eraseRest
}
