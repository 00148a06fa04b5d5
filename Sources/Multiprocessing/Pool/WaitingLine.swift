/// The tasks that wait: a queue at whose front tasks are put back, and from which any can be taken out.
struct WaitingLine {
    private var entries: [Int: Int] = [:]
    private var places: [Int: Int] = [:]
    private var first = 0
    private var last = 0

    var count: Int { entries.count }
    var isEmpty: Bool { entries.isEmpty }

    mutating func append(_ task: Int) {
        entries[last] = task
        places[task] = last
        last += 1
    }

    mutating func prepend(_ task: Int) {
        first -= 1
        entries[first] = task
        places[task] = first
    }

    mutating func removeFirst() -> Int? {
        while first < last {
            defer { first += 1 }
            if let task = entries.removeValue(forKey: first) {
                places[task] = nil
                return task
            }
        }
        return nil
    }

    mutating func remove(_ task: Int) {
        if let place = places.removeValue(forKey: task) { entries[place] = nil }
    }

    mutating func removeAll() {
        self = WaitingLine()
    }
}
