internal import BigInt

/// The PEP's second test: Fibonacci numbers as big integers, nothing shared.
///
/// A 64-bit integer would overflow at step 93, and a sum modulo something is another benchmark.
package struct Fibonacci: Codable, Sendable, Hashable {
    package var steps: Int
    /// Length of the last number in bits.
    package var expectedBits: Int
    /// Last nine decimal digits of the last number.
    package var expectedTail: Int

    /// The size that the PEP ran.
    package static let standard = Fibonacci(steps: 50_000, expectedBits: 34_711, expectedTail: 373_553_125)

    package init(steps: Int, expectedBits: Int, expectedTail: Int) {
        self.steps = steps
        self.expectedBits = expectedBits
        self.expectedTail = expectedTail
    }

    package func run() throws {
        var (a, b) = (BigUInt(0), BigUInt(1))
        for _ in 0..<steps {
            (a, b) = (b, a + b)
        }
        try check("fibonacci: number of bits", a.bitWidth, is: expectedBits)
        try check("fibonacci: last nine digits", Int(a % 1_000_000_000), is: expectedTail)
    }
}
