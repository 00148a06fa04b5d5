/// The PEP's third test: the sum of all primes below a limit, by trial division.
///
/// The PEP's source is lost; its run time fits division by the odd numbers up to the square root.
package struct CrunchPrimes: Codable, Sendable, Hashable {
    package var limit: Int
    package var expectedSum: Int

    /// The size that the PEP ran.
    package static let standard = CrunchPrimes(limit: 100_000, expectedSum: 454_396_537)

    package init(limit: Int, expectedSum: Int) {
        self.limit = limit
        self.expectedSum = expectedSum
    }

    package func run() throws {
        var sum = 0
        for number in 0..<limit where isPrime(number) {
            sum += number
        }
        try check("crunch_primes: sum of the primes below \(limit)", sum, is: expectedSum)
    }
}

// Not inlined: the linear mode calls it with the same limit again and again, and must do the work each time.
@inline(never)
private func isPrime(_ number: Int) -> Bool {
    if number < 2 { return false }
    if number % 2 == 0 { return number == 2 }
    var divisor = 3
    while divisor * divisor <= number {
        if number % divisor == 0 { return false }
        divisor += 2
    }
    return true
}
