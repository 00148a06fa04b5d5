internal import Glibc

/// Measures what the library costs, beside what the system itself costs. See the README in this folder.
///
/// Neither Foundation nor an argument parser: what this program links is part of what `.spawn` and the fork server start.
@main
struct MPBench {
    static func main() {
        do {
            try run(Command(CommandLine.arguments.dropFirst()))
        } catch {
            // stdio's stderr is a variable, which strict concurrency does not let us read.
            _ = Array("mpbench: \(error)\n".utf8).withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
            exit(1)
        }
    }

    private static func run(_ command: Command) throws {
        if command.lists {
            for metric in Metric.all {
                print(
                    "\(metric.name): \(metric.summary)"
                        + metric.targets.map { "; target \($0.description(metric.unit))" }.joined()
                )
            }
            return
        }
        let context = Context(effort: command.isQuick ? .quick : .full)
        let facts = Machine.facts(context)
        Table.printHeader(facts)
        var measurements: [Measurement] = []
        for metric in command.metrics {
            let measurement = try metric.measure(context)
            Table.print(measurement)
            measurements.append(measurement)
        }
        if let path = command.jsonPath {
            guard let file = fopen(path, "we") else { throw BenchmarkError("cannot write \(path): errno \(errno)") }
            fputs(JSONReport.text(measurements, facts: facts), file)
            fclose(file)
        }
    }
}

/// What the command line asks for.
struct Command {
    var metrics = Metric.all
    var isQuick = false
    var lists = false
    var jsonPath: String?

    static let usage = "usage: mpbench [--list] [--quick] [--metric NAME]... [--json FILE]"

    init(_ arguments: some Sequence<String>) throws {
        var chosen: [Metric] = []
        var rest = Array(arguments)[...]
        func value(of option: String) throws -> String {
            guard let value = rest.popFirst() else { throw BenchmarkError("\(option) needs a value\n\(Self.usage)") }
            return value
        }
        while let option = rest.popFirst() {
            switch option {
            case "--list": lists = true
            case "--quick": isQuick = true
            case "--json": jsonPath = try value(of: option)
            case "--metric":
                let name = try value(of: option)
                guard let metric = Metric.all.first(where: { $0.name == name }) else {
                    throw BenchmarkError("there is no metric \(name); --list shows all")
                }
                chosen.append(metric)
            default:
                throw BenchmarkError("\(option) is not understood\n\(Self.usage)")
            }
        }
        if !chosen.isEmpty { metrics = chosen }
    }
}
