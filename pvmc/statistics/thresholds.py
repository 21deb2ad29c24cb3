"""Table of the limits of every warning and decision: what is judged, in which unit, and why the line is drawn there."""

from __future__ import annotations

import numpy as np

# ---- agreement of chains ---------------------------------------------------------------------------------------------

LARGEST_R_HAT = 1.05
"""R-hat above which chains do not agree (a pure number; split R-hat of the local energy or of an observable).

One value for runs, imports, measurements and figures.  The literature has 1.1 (Gelman et al., Bayesian Data Analysis,
3rd ed., sec. 11.5) and, for four long chains and rank-normalised draws, 1.01 (Vehtari et al., Bayesian Anal. 16, 667
(2021)).  For many short chains R-hat^2 - 1 is about (tau - 1)/n even where they agree, n the draws of half a chain: at
1.01 every iteration with n < 50 tau would be suspect.  At 1.1 the means of the chains scatter by 0.46 of the spread
within one, which is no agreement; at 1.05 by 0.32.
"""

ALLOWED_TIME = 2.0
"""Autocorrelation time, in draws, that chains may have before their R-hat counts against them.  With the four draws of
an iteration by default even a correlation of 0.1 between neighbours gives an R-hat of 1.05; see
:func:`pvmc.statistics.thresholds.r_hat_limit`."""

SPIKE_R_HAT = 1.5
"""R-hat of a single iteration (a pure number) beyond which some chains are in a mode of their own: their means scatter
by more than the spread within them."""

MOST_STUCK_LOOKS = 0.25
"""Part of the looks at the walkers (0 to 1) in which some may be outliers before they count as stuck for good: tails of
the distribution are rightly visited for some looks, and left again."""

MOST_SPIKES = 0.05
"""Part of the iterations (0 to 1) that may have such an R-hat: close to an eigenstate, where the local energy hardly
varies, single spikes come from rounding or from one rare configuration."""

# ---- walkers ---------------------------------------------------------------------------------------------------------

SMALLEST_ACCEPTANCE = 0.01
"""Mean acceptance (0 to 1) below which the walkers hardly move: a sweep of N proposals changes less than one of a
hundred sites."""

STUCK_DEVIATIONS = 8.0
"""Robust standard deviations (of the median absolute deviation) beyond which a walker's mean energy is an outlier.
Local energies have heavy tails, which a few short means keep: at 5 good runs have outliers all the time."""

STUCK_IN_A_ROW = 3
"""Looks in a row, as an outlier on one side, after which a walker counts as stuck: heavy tails pass, modes stay."""

STUCK_RESTARTED = 6
"""Looks in a row at which walkers are found stuck above the others before they start again elsewhere: 50 steps take psi
out of a mode of higher energy (|psi|^2 falls by e^(-2 gamma Delta E) in each); who is still there samples nothing."""

STUCK_ROUNDING = 1e-6
"""Scatter of walkers' mean energies, relative to the scale of H, below which they count as equal.  A mode of its own
differs by about one coupling, 1e-4 or more of the radius of a thousand sites; what is nearer is rounding, or the last
rare configurations of an eigenstate."""

STUCK_EVERY = 10
"""Iterations between two looks for stuck walkers, which cost a message of all ranks each."""

STUCK_WARN_EVERY = 100
"""Fewest iterations between two warnings about stuck walkers in the output of a run."""

# ---- numbers of samples ----------------------------------------------------------------------------------------------

FEWEST_SCATTER = 4
"""Entries of a series without which their scatter says nothing of the error of their mean: their own errors count."""

FEWEST_SETTLED = 32
"""Fewest iterations that can show whether a series has settled; :func:`pvmc.statistics.drift` compares 1/16 of them."""

FEWEST_JUDGED = 5
"""Iterations without which no mean of a run is judged: the walkers of the first ones still find their places."""

FEWEST_PER_ITERATION = 400
"""Independent samples of an iteration, n / tau, below which its energy error is itself not known to 5 %: the variance
of n samples is known to sqrt(2 / n)."""

FEWEST_PER_MEASUREMENT = 100
"""Independent samples of a measurement, n / tau, below which its errors are themselves not known to 10 %."""

FEWEST_PER_PARAMETER = 2.0
"""Samples per parameter, n / K, below which S is half noise: the noise of a step that is not damped grows by
1 / (1 - K / n), a factor of 2 at n = 2 K, and S is singular from n = K on (V. A. Marchenko, L. A. Pastur, Math. USSR
Sb. 1, 457 (1967))."""

STRONG_DAMPING = 1e-3
"""lambda + floor (relative to S_kk) from which on steps with fewer samples than that are damped enough, as those of
sr.solver = "minsr" are meant to be."""

SMALLEST_EFFECTIVE_PART = 0.3
"""Part of the samples (0 to 1) that weights may let count before it is worth a warning: errors grow by 1.8."""

FEWEST_FOR_ERROR = 16
"""Configurations of an iteration without which its own error is not believed: a few may have one local energy by
chance."""

FEWEST_DRAWS = 16
"""Draws of each walker before the error of a measurement is believed enough to stop at it: with fewer, the correlation
within the chains has not shown yet."""

LARGEST_TRUNCATION = 0.1
"""Part of the sum over autocorrelations beyond the window, as estimated, with which tau still counts as converged:
about 50 tau entries have it."""

# ---- energies --------------------------------------------------------------------------------------------------------

ROUNDING = 1e-12
"""Part of the scale of H (the larger of |E| and of its radius, sum |c_P| over Pauli strings) below which differences of
energies are rounding.  Local energies are sums of at most some thousand terms with 2e-16 each."""

ZERO_ENERGY = 1e-6
"""Part of the radius of H below which an exact energy counts as zero, and errors are relative to the radius.  Exact
energies are known to 1e-11 of the radius, so that a relative error keeps five digits down to there."""

CONSTANT_ENERGY = 1e-4
"""Standard deviation of the local energy, relative to the scale of H, below which walkers are not judged by it: so
close to an eigenstate all have one energy, and the few configurations that differ make R-hat and outliers by chance."""

LARGEST_DRIFT = 3.0
"""Errors by which beginning and end of a settled series may differ.  About 1 % of settled ones exceed it, and are
averaged over less: at 2 it would be 14 %, and what the data choose so often has an error that is too small."""

STEADY_DRIFT = 2.0
"""The same for a start of :func:`pvmc.statistics.equilibration`, which chooses among a hundred.  About 1 of 7 series
without a drift exceeds it, which costs some entries."""

WINDOW_DRIFT = 2.0
"""Errors by which the means of the halves of a window may differ where a run stops as converged.  Those of a straight
line differ by 2.3 or more, those of a stationary series in 19 of 20 windows by less."""

FALLING_ERRORS = 2.0
"""Combined errors by which the mean energy of a window has to be below that of the window before, or samples are added.
A stationary energy seems to fall by so much in 1 of 40 comparisons; a straight line, over windows of any length, falls
by more than twice as much."""

NEGLIGIBLE_DRIFT = 1e-5
"""Part of the scale of H (the larger of |E| and of its radius) by which the halves of the averaged part may differ in a
state that is all but an eigenstate: a hundredth of :data:`LARGEST_RELATIVE_ERROR`.  Errors of such energies shrink with
the variance, so that a few rare configurations make a drift of many errors."""

EIGENSTATE_V_SCORE = 1e-5
"""V-score up to which a state is all but an eigenstate, where so small a drift is no warning: V-scores are 4 to 13
times the relative error (see :data:`LARGEST_V_SCORE`), so that 1e-6 to 3e-6 of the energy is left to gain.  States with
more may be far from their level, where a slow drift goes on."""

EIGENSTATE_SPREAD = 1e-9
"""Standard deviation of the local energy, relative to the scale of H, up to which it is rounding: an eigenvalue lies as
close (D. H. Weinstein, Proc. Natl. Acad. Sci. 20, 529 (1934)), and steps change the energy by its square at most."""

EIGENSTATE_ITERATIONS = 20
"""Iterations in a row without any variance after which a state counts as an eigenstate: configurations that the samples
of one iteration miss by chance are still found."""

EIGENSTATE_REFERENCE = 1e-8
"""Part of the scale of H by which the energy of an eigenstate may differ from a level that it is compared with; levels
as close as this have no word of their own."""

BELOW_EXACT = 4.0
"""Errors by which a mean energy may lie below the exact one: by chance in one of 30 000 runs."""

BELOW_EXACT_ROUNDING = 1e-10
"""Part of the exact energy (of the radius of H where that is zero) by which it may lie below in addition: exact
energies of Lanczos are known to 1e-11 of the radius."""

LARGEST_V_SCORE = 0.01
"""V-score, N Var / (E - E_inf)^2, above which a state is far from every eigenstate.  In 104 runs of
docs/reports/study.md (rings, J1-J2) it is 4 to 13 times the relative error, from 6e-6 to 1e-1: 0.01 stands for an
error of 1e-3 to 2e-3.  Good runs of configs/validation stay below 5e-3; J1-J2 on 4 x 4 by default settings has 0.12,
the triangular lattice of 12 sites 0.21."""

LARGEST_RELATIVE_ERROR = 1e-3
"""Relative error of the energy, where the exact one is known, above which a state is not the ground state for most
uses, once it is resolved."""

RESOLVED = 4.0
"""Errors by which a difference exceeds a limit before it is called resolved: by chance in one of 30 000 cases."""

DRAWN_ERRORS = 2.0
"""Errors by which a relative error has to differ from zero to be drawn as a point, and not as an upper bound."""

ANOTHER_LEVEL = 0.3
"""Standard deviation of the local energy, relative to the distance to the exact ground state, below which the state is
another level: an eigenvalue lies within one standard deviation of its energy (D. H. Weinstein, Proc. Natl. Acad. Sci.
20, 529 (1934)), and the lowest is more than three away."""

# ---- numbers that went bad -------------------------------------------------------------------------------------------

GUARD_WINDOW = 20
"""Good iterations that an energy is compared with: long enough for a median, short enough to follow the descent."""

GUARD_FEWEST = 5
"""Good iterations without which no jump is called one: of fewer there is no scatter."""

JUMP_SCATTERS = 20.0
"""An explosion moves the energy by more than this many times the scatter of the recent ones, which steep descent does
too ..."""

JUMP_ERRORS = 5.0
"""... by more than this many times its own error, which an outlier among the local energies makes as well ..."""

JUMP_SPREADS = 3.0
"""... by more than this many times the spread of the local energy, the root of the recent variance, within which
stochastic reconfiguration finds back by itself ..."""

JUMP_VARIANCES = 10.0
"""... and, where the energy fell, multiplies the variance by more than this, while descent lowers it."""

FROZEN_ACCEPTANCE = 1e-3
"""Acceptance (0 to 1) below which walkers stand still and a run goes back: a tenth of what a warning is due for."""

ROUGHEST = 10.0
"""Median of |ln(|psi(s')|^2 / |psi(s)|^2)| between neighbours above which first parameters are drawn again: less than
one move in e^10 against the slope of half of them is accepted.  Healthy starts have less than 1."""

LONG_ANGLE = 0.1
"""Angle in radians by which no healthy step turns the state: above it, a step is the likely cause of bad numbers."""

OUTSIDE_ERRORS = 10.0
"""Errors by which an energy may lie outside the spectrum of H: only estimates that are wrong lie further out."""

LARGEST_VARIANCE = 10.0
"""Sampled variance in units of the largest that any state has, the squared half width of the spectrum, above which it
is wrong."""

GUARD_ROUNDING = 1e-9
"""Relative scatter below which energies count as equal: without samples, a converged run has only rounding."""

MOST_REJECTIONS = 3
"""Times that one step is taken back for a rise of the energy; then it is accepted: smaller steps did not help."""

# ---- what |psi|^2 does not show --------------------------------------------------------------------------------------

LEAK_DEVIATIONS = 5.0
"""Errors by which the variance of smeared draws must exceed that of the walkers before the leak counts as resolved.
Local energies have heavy tails: 4 errors are no 1 in 30 000 with some thousand walkers."""

LARGEST_LEAK = 0.5
"""Part of the variance (0 to 1) that walkers may miss.  States with a few nodes miss some percent of it all the time;
beyond a half, variance, V-score and gradient tell more about where the walkers are than about the state."""

LEAK_V_SCORE = 1e-3
"""V-score N leak / (E - E_inf)^2 below which a leak is no matter: so good a state is good with it as well."""

MISSED_DEVIATIONS = 2.0
"""Errors by which the variance of smeared draws must exceed that of all draws before errors grow by it.  A light tail
exceeds it in 1 of 40 measurements, whose errors then grow by the noise of the smeared variance, a few percent."""

HEAVY_TAIL = 2.0
"""Exponent of the tail of |E_loc - E|, P(> x) ~ x^-a, below which the variance comes from configurations that are
hardly drawn (it is infinite, of a tail without end): neither it nor the error of the energy can be made of draws of
|psi|^2.  Where psi is real and goes linearly through zero, a = 3, where it is complex, 4."""

HEAVY_TAIL_ERRORS = 2.0
"""Errors by which the exponent has to lie below a limit."""

HEAVY_SQUARES = 4.0
"""Exponent below which the variance of |E_loc - E|^2 comes from configurations that are hardly drawn: then the error of
the variance also has a part of those that were not."""

UNSEEN_COUNT = 0.2
"""Expected number of draws of the rarest configurations whose part is in the error of a variance.  Of a tail with a = 1
up to there the variance by draws lacks four times the largest square seen, over n: errors with it hold the
variance of a nearly exact state in 55 % of the cases and more, in place of 39 % (docs/reports/tails.md)."""

SMALLEST_TAIL = 1.0
"""Exponents below count as this one: of a finite system tails end, as |H psi| has a bound."""

ABOVE_PRODUCT = 4.0
"""Errors by which a mean energy may lie above that of all spins up or down: by chance in one of 30 000 runs."""

# ---- observables -----------------------------------------------------------------------------------------------------

FORBIDDEN_DEVIATIONS = 5.0
"""Errors by which an expectation value that symmetry or reality forces to zero may differ from it: by chance in one of
two million."""

LARGEST_FORBIDDEN = 1e-4
"""Modulus up to which such a value is no matter (a pure number; per site, for magnetisations): a state with a relative
error of 1e-8 may have it."""

OUTLIER_DEVIATIONS = 5.0
"""Scatters of the iterations' energies (robust, with the errors of both) by which a measured energy may lie above the
mean of the settled iterations before the parameters that were measured count as an outlier."""

LARGEST_SWAP_ERROR = 0.1
"""Relative error of <Swap> above which an entropy is unreliable.  -ln is biased by half the square of it: at 0.1, by a
twentieth of the error."""

LARGEST_NORM_DEVIATION = 4.0
"""Errors by which the product of norms may differ from 1 before the ratios of a fidelity count as badly sampled."""

NO_SCATTER = 1e-12
"""Variance of a local value, relative to its mean square, below which it is a constant with rounding errors."""

# ---- comparisons with exact diagonalisation --------------------------------------------------------------------------

VALIDATED_ERRORS = 4.5
"""Claimed errors by which a mean may differ from the exact value, or lie below the exact energy: by chance in one of
150 000 cases (two-sided)."""

VALIDATED_P = 1e-4
"""Smallest two-sided p-value of the chi-square of sampled configurations that passes."""

VALIDATED_ROUNDING = 1e-10
"""Largest relative deviation of numbers without a statistical error: local energies, S, enumerated energies."""

VALIDATED_GRADIENT = 1e-6
"""Largest relative deviation of the gradient from differences of sixth order, which leave 1e-11 at smooth states."""

VALIDATED_EQUATION = 1e-8
"""Largest relative residual of (S + Lambda) x = F that a sound solver leaves, however ill-conditioned S is."""

UNUSED_VARIANCE = 1e-28
"""S_kk, relative to the largest, up to which a parameter does not change psi at all: the square of the rounding of its
log-derivative.  Solvers leave such parameters alone."""

VALIDATED_DESCENT = 0.5
"""Fall of the energy in a small step, in units of the linear prediction: half of it shows the direction."""

# ---- files -----------------------------------------------------------------------------------------------------------

QUIET_SECONDS = 300.0
"""Seconds without a change of its file after which a run on another machine, or a fit, counts as over ..."""

QUIET_ITERATIONS = 10
"""... or, of a run, times of its longest iteration, where they are longer."""

# ---- limits that depend on the numbers judged ------------------------------------------------------------------------


def r_hat_limit(n_draws: float) -> float:
    """R-hat above which chains of so many draws do not agree: 1.05, or more for short ones, whose draws are correlated.

    Of chains that agree, the means of halves of n draws vary by sigma^2 tau_n / n, with tau_n = 1 + 2 sum_t (1 - t/n)
    rho(t), and the variance within them is sigma^2 (1 - tau_n/n) n/(n - 1): R-hat^2 = (n - 1)/n / (1 - tau_n/n).  The
    limit is this for rho(t) = rho^t with tau = 2: 1.22 for four draws, 1.06 for 16, 1.05 from 22 on.

    Args:
        n_draws: draws of each chain, both halves together; NaN or less than 4 for chains that have no R-hat.
    """
    if not n_draws >= 4:
        return LARGEST_R_HAT
    n = int(n_draws) // 2
    rho = (ALLOWED_TIME - 1.0) / (ALLOWED_TIME + 1.0)
    lags = np.arange(1, n)
    time = 1.0 + 2.0 * float(np.sum((1.0 - lags / n) * rho**lags))
    return max(LARGEST_R_HAT, float(np.sqrt((n - 1) / n / (1.0 - time / n))))


def error_scale(exact: float, radius: float) -> float:
    """The energy that an error is relative to: |E_exact|, or the radius of H where |E_exact| is next to nothing.

    Args:
        exact: exact energy.
        radius: half the width of the spectrum of H, or a bound on it, in the same units; 0 where it is not known.
    """
    return abs(exact) if abs(exact) > ZERO_ENERGY * radius else radius


def rounding_of(energy: float, radius: float) -> float:
    """Largest difference of two energies that may be rounding alone, in their units.

    Args:
        energy: one of them.
        radius: as of :func:`error_scale`.
    """
    return ROUNDING * max(abs(energy), radius)


def eigenstate_variance(energy: float, radius: float) -> float:
    """Largest variance of the local energy that is rounding alone, in units of energy^2.

    Args:
        energy: of the state, of all sites.
        radius: as of :func:`error_scale`.
    """
    spread = EIGENSTATE_SPREAD * max(abs(energy), radius)
    return spread * spread
