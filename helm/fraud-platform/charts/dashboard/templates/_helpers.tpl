{{/* What a probe runs within the pod when the dashboard listens to the pod alone. */}}
{{- define "fraud-platform.dashboard.look" -}}
import urllib.request as u; u.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)
{{- end -}}
