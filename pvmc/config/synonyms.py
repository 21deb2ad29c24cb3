"""Names that other programs and papers give to keys, sections and words of the input: for guesses in messages.

Names are compared in small letters, without blanks, hyphens and underscores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_KEYS: Mapping[str, str] = {
    "lattice.length": "l n nsites sites size nspins spins extent",
    "lattice.size": "length lengths shape extent dims dimensions l lx ly nx ny",
    "lattice.periodic": "pbc bc boundary boundaries boundarycondition boundaryconditions periodicity closed",
    "lattice.edges": "bonds links adjacency",
    "lattice.sites": "n nsites length",
    "lattice.kind": "type name geometry",
    "hamiltonian.model": "kind type name hamiltonian",
    "hamiltonian.coupling": "j j1 jxy jz exchange couplings strength interaction v",
    "hamiltonian.couplings": "j coupling jx jy jz",
    "hamiltonian.j1": "j coupling exchange",
    "hamiltonian.j2": "jprime frustration",
    "hamiltonian.field": "h b g hx hz gamma transverse transversefield magneticfield gx",
    "hamiltonian.field_x": "hx bx field h",
    "hamiltonian.field_y": "hy by",
    "hamiltonian.field_z": "hz bz",
    "hamiltonian.longitudinal": "hz longitudinalfield bz",
    "hamiltonian.anisotropy": "delta jz lambda jzz",
    "hamiltonian.rabi": "omega rabifrequency field",
    "hamiltonian.detuning": "delta",
    "hamiltonian.exponent": "alpha power sigma",
    "hamiltonian.marshall": "signrule marshallsign rotated signrotation rotation",
    "hamiltonian.file": "filename path termsfile",
    "hamiltonian.unit": "units energyunit",
    "ansatz.kind": "type name model machine network",
    "ansatz.alpha": "density hiddenunits nhidden hidden m features nfeatures hiddendensity",
    "ansatz.layers": "hiddenlayers depth widths",
    "ansatz.activation": "activations nonlinearity",
    "ansatz.weights": "dtype field paramdtype numbers type complex real",
    "ansatz.symmetry": "symmetries group symmetric translation",
    "ansatz.visible_bias": "usevisiblebias bias visible biases",
    "ansatz.init_scale": "sigma std stddev init scale initscale kernelinit initsigma",
    "ansatz.start_from": "init load restart warmstart initialfrom parameters",
    "sampler.kind": "type name method",
    "sampler.walkers": "chains nchains nwalkers markovchains nchainsperrank",
    "sampler.samples": "nsamples sample draws ns configurations nmc",
    "sampler.sweep": "sweepsize sweeps nsweeps sweeplength proposals nsweep",
    "sampler.burn_in": "burnin thermalization thermalisation equilibration warmup ndiscard nwarmup ntherm",
    "sampler.discard": "ndiscardperchain ndiscard decorrelation",
    "sampler.block_width": "blocksize blockwidth chunk chunksize batch batchsize",
    "sampler.magnetization": "magnetisation sz totalsz mz m",
    "sampler.moves": "rule rules proposal proposals updates move",
    "sampler.start": "init initial",
    "sampler.start_file": "file startfrom",
    "sampler.tempering": "paralleltempering replicas nreplicas",
    "sampler.power": "p reweight machinepow machinepower",
    "sr.learning_rate": "lr eta step stepsize gamma learningrate rate dt tau timestep",
    "sr.shift": "diagshift diagonalshift regularization regularisation lambda lambda0 damping epsilon diag",
    "sr.solver": "linearsolver linsolver linear",
    "sr.method": "optimizer optimiser optim algorithm kind type preconditioner",
    "sr.cutoff": "rcond rtol svdcutoff",
    "sr.snr": "signaltonoise",
    "sr.momentum": "mu spring beta",
    "sr.krylov": "cg minres iterative",
    "sr.largest_angle": "maxnorm clip gradclip trustregion",
    "run.iterations": "steps niter nsteps niterations epochs maxiter maxsteps maxiterations iters nepochs itermax",
    "run.seed": "randomseed rngseed rng seeds",
    "run.starts": "restarts trials nstarts",
    "run.threads_per_rank": "threads nthreads ompnumthreads",
    "run.save_every": "savefrequency saveinterval saveparamsevery",
    "run.checkpoint": "checkpointevery checkpoints",
    "run.time": "timelimit walltime limit maxtime",
    "run.stop": "convergence tolerance tol earlystopping",
    "run.reference": "exact exactenergy groundstate e0",
    "run.retries": "retry maxretries",
    "fit.target": "kind state",
    "fit.source": "file path data run",
    "fit.epochs": "iterations steps niter nsteps",
    "fit.learning_rate": "lr eta step stepsize rate",
    "fit.optimizer": "method optimiser",
    "fit.batch_size": "batch minibatch batchsize",
}

_SECTIONS: Mapping[str, str] = {
    "lattice": "graph geometry system cluster",
    "hamiltonian": "model operator ham h physics",
    "ansatz": "wavefunction machine network state psi nqs wf variationalstate",
    "sampler": "sampling mc montecarlo mcmc metropolis markov",
    "sr": "optimizer optimiser optimization optimisation vmc preconditioner stochasticreconfiguration learning",
    "run": "training general main simulation settings parameters output",
    "fit": "supervised supervisedlearning pretraining",
}

_WORDS: Mapping[str, str] = {
    "chain": "ring line 1d linear hypercube",
    "rectangle": "square squarelattice 2d grid rectangular sq",
    "triangular": "triangle",
    "honeycomb": "hexagonal hex brickwall",
    "cubic": "cube 3d simplecubic",
    "graph": "custom edges any general",
    "ising": "tfim tfi transverseising transversefieldising quantumising isingmodel",
    "heisenberg": "afm aheisenberg heis xxx",
    "xxz": "xx xy",
    "j1j2": "j1-j2 j1j2model frustrated",
    "dzyaloshinskii_moriya": "dm dmi",
    "terms": "custom pauli paulis paulisum general",
    "rydberg": "pxp",
    "rbm": "rbmsymm rbmmodphase boltzmann restrictedboltzmannmachine rbmmultival",
    "feedforward": "ffn ffnn mlp nn cnn dense fullyconnected deep",
    "mean_field": "mf product productstate",
    "metropolis": "mcmc mc montecarlo markov metropolishastings local metropolislocal metropolisexchange",
    "exact": "full fullsum enumeration enumerate all exactsampler ed",
    "reconfiguration": "sr naturalgradient ng qng stochasticreconfiguration",
    "sgd": "gd gradient gradientdescent steepestdescent",
    "dense": "cholesky direct lu qr svd matrix",
    "krylov": "cg minres gmres iterative matrixfree",
    "minsr": "ntk srt kernel tvmc minstep",
    "real": "float float64 double positive",
    "complex": "complex128 complex64 cplx",
    "translation": "translations momentum translational cyclic",
    "space": "spacegroup pointgroup full automorphisms all",
    "neel": "antiferromagnetic af afm staggered",
    "none": "no off false null trivial",
    "auto": "automatic default",
    "true": "yes on 1",
    "false": "no off 0",
}


def plain(name: str) -> str:
    """A name in small letters, without blanks, hyphens and underscores."""
    return "".join(letter for letter in name.lower() if letter not in " -_")


def keys_meant(name: str) -> Iterator[str]:
    """Dotted keys that are elsewhere called so."""
    return (key for key, others in _KEYS.items() if plain(name) in others.split())


def sections_meant(name: str) -> Iterator[str]:
    """Sections that are elsewhere called so."""
    return (section for section, others in _SECTIONS.items() if plain(name) in others.split())


def words_meant(word: str) -> Iterator[str]:
    """Words (values of keys) that are elsewhere called so, or are the same but for capitals and hyphens."""
    return (own for own, others in _WORDS.items() if plain(word) == plain(own) or plain(word) in others.split())
