#include "dispatch.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace midstream {
namespace {

std::vector<std::pair<std::string, Path>> detect() {
    std::vector<std::pair<std::string, Path>> paths{{"reference", Path::reference}, {"portable", Path::portable}};
#ifdef MIDSTREAM_X86
    const bool bmi2 = __builtin_cpu_supports("bmi2");
    if (bmi2 && __builtin_cpu_supports("avx2")) paths.emplace_back("avx2", Path::avx2);
    if (bmi2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        paths.emplace_back("avx512", Path::avx512);
#endif
#ifdef MIDSTREAM_NEON
    paths.emplace_back("neon", Path::neon);
#endif
    return paths;
}

Path find(const std::string& name) {
    std::string valid;
    for (const auto& [known, path] : detect()) {
        if (known == name) return path;
        valid += (valid.empty() ? "" : ", ") + known;
    }
    throw std::invalid_argument("unknown SIMD path '" + name + "'; this machine has: " + valid);
}

std::atomic<int> chosen{-1};

}  // namespace

std::vector<std::string> available_paths() {
    std::vector<std::string> names;
    for (const auto& entry : detect()) names.push_back(entry.first);
    return names;
}

Path current_path() {
    const int path = chosen.load(std::memory_order_relaxed);
    if (path >= 0) return static_cast<Path>(path);
    const char* wanted = std::getenv("MIDSTREAM_SIMD");
    const Path first = (wanted != nullptr && *wanted != '\0') ? find(wanted) : detect().back().second;
    chosen.store(static_cast<int>(first), std::memory_order_relaxed);
    return first;
}

void set_path(const std::string& name) { chosen.store(static_cast<int>(find(name)), std::memory_order_relaxed); }

std::string path_name() {
    const Path path = current_path();
    for (const auto& [name, known] : detect())
        if (known == path) return name;
    return "reference";
}

}  // namespace midstream
