/// What a program has to know to become a worker of a pool: where the pool is, and its secret.
///
/// Comes from ``Pool/invitation``, or to a ``StreamWorkers/Launcher``; goes to ``PoolWorkerProgram``. It holds the pool's secret:
/// see ``WorkerToken`` for how to hand it on.
public struct WorkerInvitation: Hashable, Sendable, Codable, CustomStringConvertible {
    /// Where the pool waits.
    public var address: WorkerAddress
    /// The pool's secret.
    public var token: WorkerToken
    /// The place that is kept for whoever has this invitation; nil for one of those that come by themselves.
    var place: Int?

    /// An invitation for workers that come by themselves.
    public init(address: WorkerAddress, token: WorkerToken) {
        self.init(address: address, token: token, place: nil)
    }

    init(address: WorkerAddress, token: WorkerToken, place: Int?) {
        self.address = address
        self.token = token
        self.place = place
    }

    /// All of it, the secret as well, in one line: for standard input or an environment variable.
    public var text: String {
        "\(address) \(token.text)" + (place.map { " \($0)" } ?? "")
    }

    /// Reads what ``text`` gives; white space around it does not matter. Nil if it is anything else.
    public init?(_ text: String) {
        let words = text.split(whereSeparator: \.isWhitespace)
        guard (2...3).contains(words.count), let address = WorkerAddress(String(words[0])),
            let token = WorkerToken(String(words[1]))
        else { return nil }
        if words.count == 3 {
            guard let place = Int(words[2]), place >= 0 else { return nil }
            self.init(address: address, token: token, place: place)
        } else {
            self.init(address: address, token: token)
        }
    }

    public var description: String { "an invitation to \(address)" }
}
