"""The papers behind the methods, each written once; classes name them by key."""

from collections.abc import Iterable

#: First author and year -> how the paper is cited.
PAPERS = {
    "arbabi_2017": "Arbabi & Mezic 2017, SIAM J. Appl. Dyn. Syst. 16:2096, doi:10.1137/17M1125236",
    "askham_2018": "Askham & Kutz 2018, SIAM J. Appl. Dyn. Syst. 17:380, doi:10.1137/M1124176",
    "baddoo_2022": "Baddoo et al. 2022, Proc. R. Soc. A 478:20210830, doi:10.1098/rspa.2021.0830",
    "benettin_1980": "Benettin et al. 1980, Meccanica 15:9, doi:10.1007/BF02128236",
    "bengio_1994": "Bengio, Simard & Frasconi 1994, doi:10.1109/72.279181",
    "berger_1996": "Berger & Hsu 1996, Statistical Science 11:283, doi:10.1214/ss/1032280304",
    "brown_1998": "Brown et al. 1998, doi:10.1523/JNEUROSCI.18-18-07411.1998",
    "brunton_2017": "Brunton et al. 2017, Nat. Commun. 8:19, doi:10.1038/s41467-017-00030-8",
    "carmena_2003": "Carmena et al. 2003, doi:10.1371/journal.pbio.0000042",
    "efron_1993": "Efron & Tibshirani 1993, An Introduction to the Bootstrap (intervals)",
    "engelken_2023": "Engelken, Wolf & Abbott 2023, doi:10.1103/PhysRevResearch.5.043044",
    "flyvbjerg_1989": "Flyvbjerg & Petersen 1989, J. Chem. Phys. 91:461, doi:10.1063/1.457480",
    "geist_1990": "Geist, Parlitz & Lauterborn 1990, doi:10.1143/PTP.83.875",
    "glaser_2020": "Glaser et al. 2020, doi:10.1523/ENEURO.0506-19.2020",
    "golub_1973": "Golub & Pereyra 1973, SIAM J. Numer. Anal. 10:413, doi:10.1137/0710036",
    "hoerl_1970": "Hoerl & Kennard 1970, doi:10.1080/00401706.1970.10488634",
    "hunter_1986": "Hunter & Korenberg 1986, doi:10.1007/BF00341929",
    "ichinaga_2024": "Ichinaga et al. 2024, JMLR 25(417):1 (PyDMD)",
    "kalman_1960": "Kalman 1960, doi:10.1115/1.3662552",
    "kantorovich_1948": "Kantorovich 1948, Uspekhi Mat. Nauk 3:89 (Newton's method)",
    "kaplan_1979": "Kaplan & Yorke 1979, Lecture Notes in Math. 730:204, doi:10.1007/BFb0064319",
    "keller_1977": "Keller 1977, Applications of Bifurcation Theory, Academic Press, 359-384",
    "killick_2012": "Killick et al. 2012, JASA 107:1590, doi:10.1080/01621459.2012.737745",
    "kingma_2015": "Kingma & Ba 2015, ICLR, arXiv:1412.6980 (Adam)",
    "kutz_2016": "Kutz, Fu & Brunton 2016, doi:10.1137/15M1023543 (multiresolution DMD)",
    "koppe_2019": "Koppe et al. 2019, doi:10.1371/journal.pcbi.1007263",
    "kuhn_1955": "Kuhn 1955, Naval Research Logistics 2:83, doi:10.1002/nav.3800020109",
    "lei_2018": "Lei et al. 2018, doi:10.1080/01621459.2017.1307116",
    "liu_1989": "Liu & Nocedal 1989, Math. Program. 45:503, doi:10.1007/BF01589116",
    "mikhaeil_2022": "Mikhaeil, Monfared & Durstewitz 2022, NeurIPS 35, arXiv:2110.07238",
    "ostrow_2023": "Ostrow, Eisen, Kozachkov & Fiete 2023, NeurIPS 36, arXiv:2306.10168",
    "pascanu_2013": "Pascanu, Mikolov & Bengio 2013, ICML, arXiv:1211.5063",
    "paszke_2019": "Paszke et al. 2019, NeurIPS 32 (PyTorch)",
    "phipson_2010": "Phipson & Smyth 2010, doi:10.2202/1544-6115.1585 (permutation p-values)",
    "pohlmeyer_2009": "Pohlmeyer et al. 2009, doi:10.1371/journal.pone.0005924",
    "proctor_2016": "Proctor, Brunton & Kutz 2016, doi:10.1137/15M1013857 (DMD with control)",
    "sagodi_2024": "Sagodi et al. 2024, NeurIPS, arXiv:2408.00109",
    "santhanam_2006": "Santhanam et al. 2006, doi:10.1038/nature04968",
    "sashidhar_2022": "Sashidhar & Kutz 2022, doi:10.1098/rsta.2021.0199 (bagging, optimized DMD)",
    "savitzky_1964": "Savitzky & Golay 1964, doi:10.1021/ac60214a047 (local polynomials)",
    "schmid_2010": "Schmid 2010, J. Fluid Mech. 656:5, doi:10.1017/S0022112010001217",
    "schwarz_1978": "Schwarz 1978, Ann. Statist. 6:461, doi:10.1214/aos/1176344136",
    "seung_1996": "Seung 1996, PNAS 93:13339, doi:10.1073/pnas.93.23.13339",
    "shao_1989": "Shao & Wu 1989, Ann. Statist. 17:1176, doi:10.1214/aos/1176347263 (jackknife)",
    "soderstrom_2002": "Soderstrom & Stoica 2002, doi:10.1007/BF01211647 (instruments)",
    "sussillo_2012": "Sussillo et al. 2012, doi:10.1088/1741-2560/9/2/026027",
    "sussillo_2013": "Sussillo & Barak 2013, doi:10.1162/NECO_a_00409",
    "sussillo_2016": "Sussillo et al. 2016, doi:10.1038/ncomms13749",
    "tu_2014": "Tu et al. 2014, J. Comput. Dyn. 1:391, doi:10.3934/jcd.2014.1.391",
    "venzon_1988": "Venzon & Moolgavkar 1988, Applied Statistics 37:87, doi:10.2307/2347496",
    "white_1982": "White 1982, Econometrica 50:1, doi:10.2307/1912526",
    "willett_2021": "Willett et al. 2021, doi:10.1038/s41586-021-03506-2",
    "williams_2015": "Williams, Kevrekidis & Rowley 2015, doi:10.1007/s00332-015-9258-5",
    "wilson_1927": "Wilson 1927, doi:10.1080/01621459.1927.10502953 (interval of a share)",
    "wu_2006": "Wu et al. 2006, doi:10.1162/089976606774841585",
    "zhang_1998": "Zhang et al. 1998, doi:10.1152/jn.1998.79.2.1017",
}


def cited(papers: Iterable[str]) -> list[str]:
    """How papers are cited, by their keys; a text that is no key stands for itself.

    A user's own class may cite what is not listed here: ``_papers = ("Me 2026, doi:...",)``.
    """
    return [PAPERS.get(key, key) for key in papers]
