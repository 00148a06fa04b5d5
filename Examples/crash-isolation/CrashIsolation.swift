import Multiprocessing

// The README's first sample: a fault in one task is an error in that task.
@main
struct CrashIsolation {
    static func main() async throws {
        let pages = ["<p>one</p>", "<p>two", "<p>three</p>"]
        for page in pages {
            do {
                let title = try await ChildProcess.run { parse(page) }
                print("parsed:", title)
            } catch let crash as ProcessCrash {
                print("this page crashed the parser:", crash.message ?? "\(crash.reason)")
            }
        }
        print("and the program goes on")
    }

    /// A parser with a bug: it traps on a page whose paragraph does not end.
    static func parse(_ page: String) -> String {
        let end = page.firstRange(of: "</p>")!.lowerBound
        return String(page[..<end].dropFirst(3))
    }
}
