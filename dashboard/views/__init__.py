"""One file a page. Streamlit runs the file anew whenever something was touched."""
