import Multiprocessing

/// A bar that stays until Ctrl-C.
enum ProgressScenario {
    static func run() {
        let bar = ProgressBar("work", progress: PoolProgress(total: 10))
        bar.start()
        bar.progress.add(finished: 3)
        bar.print("begun")
        pause(milliseconds: 30_000)
        bar.end()
    }
}
