// swift-tools-version: 6.2

import PackageDescription

let swiftSettings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

// A package of its own, so that nobody who depends on the library resolves or builds any of this.
let package = Package(
    name: "Benchmarks",
    dependencies: [
        .package(name: "swift-multiprocessing", path: "..")
    ],
    targets: [
        .executableTarget(
            name: "codingbench",
            dependencies: [.product(name: "_MultiprocessingWire", package: "swift-multiprocessing")]
        ),

        // mpbench: what the library costs, beside what the system itself costs.
        .target(name: "CBaselines"),
        // Apart from those, which a program that only forks links: this one brings the C++ library.
        .target(name: "CShared", dependencies: ["CBaselines"]),
        .executableTarget(name: "mpbench-cfork", dependencies: ["CBaselines"]),
        .executableTarget(
            name: "mpbench",
            dependencies: [
                "CBaselines",
                "CShared",
                .product(name: "Multiprocessing", package: "swift-multiprocessing"),
            ],
            swiftSettings: swiftSettings
        ),
    ],
    swiftLanguageModes: [.v6]
)
