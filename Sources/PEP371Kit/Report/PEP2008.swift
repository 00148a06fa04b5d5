/// The figures that the PEP printed: best of 100, in seconds.
///
/// Four-core Intel Xeon at 3.00 GHz, 16 GB, Gentoo Linux, Python 2.5.2, pyProcessing 0.52.
package enum PEP2008 {
    package static let machine = "4-core Xeon 3.00 GHz, Python 2.5.2, pyProcessing 0.52"
    package static let counts = [1, 2, 4, 8]

    /// The PEP's time of a case, if it has that case.
    package static func seconds(_ workload: Workload, _ mode: Mode, _ n: Int) -> Double? {
        guard let index = counts.firstIndex(of: n) else { return nil }
        let rows = table(workload)
        switch mode {
        case .linear: return rows.linear[index]
        case .threads: return rows.threads[index]
        case .processes: return rows.processes[index]
        }
    }

    package static func speedUp(_ workload: Workload, _ mode: Mode, _ n: Int) -> Double? {
        guard let linear = seconds(workload, .linear, n), let other = seconds(workload, mode, n) else { return nil }
        return linear / other
    }

    private typealias Rows = (linear: [Double], threads: [Double], processes: [Double])

    private static func table(_ workload: Workload) -> Rows {
        switch workload {
        case .emptyFunc:
            (
                [0.000001, 0.000002, 0.000002, 0.000003],
                [0.000796, 0.001963, 0.003986, 0.007990],
                [0.000714, 0.001466, 0.002701, 0.005512]
            )
        case .fibonacci:
            (
                [0.195548, 0.397540, 0.795333, 1.591680],
                [0.197909, 0.397637, 0.797262, 1.596824],
                [0.201175, 0.204265, 0.206990, 0.417899]
            )
        case .crunchPrimes:
            (
                [0.495157, 1.052048, 2.104733, 4.217455],
                [0.522320, 1.154726, 2.455215, 5.109192],
                [0.523757, 0.524603, 0.530688, 1.077939]
            )
        case .fileIO:
            (
                [0.057750, 0.180256, 0.370841, 0.749571],
                [0.089992, 0.329961, 1.103678, 2.437204],
                [0.090817, 0.096683, 0.101535, 0.203438]
            )
        case .urlGet:
            (
                [0.124774, 0.239574, 0.479159, 0.960621],
                [0.120478, 0.146138, 0.200985, 0.659298],
                [0.121404, 0.138366, 0.188847, 0.298625]
            )
        case .queue:
            (
                [0.010546, 0.020768, 0.041718, 0.083488],
                [0.015164, 0.041635, 0.086394, 0.184254],
                [0.066167, 0.084270, 0.144176, 0.302999]
            )
        }
    }
}
